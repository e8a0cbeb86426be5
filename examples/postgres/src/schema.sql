CREATE TABLE staff (
    id bigint PRIMARY KEY,
    team int NOT NULL,
    name text NOT NULL
);

-- What has changed, by the tags that cached values of it carry.
CREATE TABLE cache_changes (
    -- Whose change it is. Not a `serial`: a transaction that has taken its number before may commit behind one
    -- with a later number, and who has read up to that one would never see it.
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    tag text NOT NULL
);
CREATE INDEX ON cache_changes (xid);

-- Up to where it has been read: what this snapshot sees. It names the transactions that were still running, so
-- that one of them holds up nothing but itself.
CREATE TABLE cache_position (
    one bool PRIMARY KEY DEFAULT true CHECK (one),
    seen pg_snapshot NOT NULL
);
INSERT INTO cache_position (seen) VALUES (pg_current_snapshot());

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

-- It fires no trigger of a row.
CREATE FUNCTION tell_of_all_staff() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO cache_changes (tag)
        SELECT 'person:' || id FROM staff UNION SELECT 'team:' || team FROM staff UNION SELECT 'staff';
    NOTIFY cache_changes;
    RETURN NULL;
END $$;

CREATE TRIGGER tell_of_all_staff BEFORE TRUNCATE ON staff
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_all_staff();

-- Known by its slug, which can change.
CREATE TABLE projects (
    slug text PRIMARY KEY,
    title text NOT NULL
);

CREATE TABLE project_members (
    -- Not only for order: who joins while a rename is under way waits here for its end.
    project text NOT NULL REFERENCES projects ON UPDATE CASCADE,
    person bigint NOT NULL,
    PRIMARY KEY (project, person)
);

-- All that were ever given, so that no link in an old mail leads to another project.
CREATE TABLE project_slugs (
    slug text PRIMARY KEY
);
