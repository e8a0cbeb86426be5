CREATE TABLE staff (
    id bigint PRIMARY KEY,
    team int NOT NULL,
    name text NOT NULL
);

-- What has changed, by the tags that cached values of it carry.
CREATE TABLE cache_changes (
    -- The order in which transactions began to write; the order of `serial` numbers is neither that of commits.
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    tag text NOT NULL
);
CREATE INDEX ON cache_changes (xid);

-- Up to where it has been read: all transactions before this one.
CREATE TABLE cache_position (
    one bool PRIMARY KEY DEFAULT true CHECK (one),
    xid xid8 NOT NULL
);
INSERT INTO cache_position (xid) VALUES (pg_current_xact_id());

CREATE FUNCTION tell_of_staff() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO cache_changes (tag) VALUES ('person:' || OLD.id), ('team:' || OLD.team), ('staff');
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO cache_changes (tag) VALUES ('person:' || NEW.id), ('team:' || NEW.team), ('staff');
    END IF;
    -- Sent when the transaction commits, and then once.
    NOTIFY cache_changes;
    RETURN NULL;
END $$;

CREATE TRIGGER tell_of_staff AFTER INSERT OR UPDATE OR DELETE ON staff
    FOR EACH ROW EXECUTE FUNCTION tell_of_staff();
