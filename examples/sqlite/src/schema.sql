CREATE TABLE songs (
    id INTEGER PRIMARY KEY,
    title TEXT NOT NULL
) STRICT;

CREATE TABLE playlist_songs (
    playlist INTEGER NOT NULL,
    position INTEGER NOT NULL,
    -- Checked by COMMIT, so that the rows of one transaction may come in any order.
    song INTEGER NOT NULL REFERENCES songs (id) DEFERRABLE INITIALLY DEFERRED,
    PRIMARY KEY (playlist, position)
) STRICT, WITHOUT ROWID;
