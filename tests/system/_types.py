"""A PostgreSQL database with every type, nasty values in each, and tables that hang together four levels deep."""

from __future__ import annotations

import psycopg
from psycopg import sql

from tests.system._nasty import NASTY

# column: (type, values); every value stands in a row of its own, and row 0 is all NULL.
COLUMNS: dict[str, tuple[str, list[str]]] = {
    "c_int2": ("smallint", ["0", "-32768", "32767"]),
    "c_int4": ("integer", ["-2147483648", "2147483647"]),
    "c_int8": ("bigint", ["-9223372036854775808", "9223372036854775807"]),
    "c_numeric": (
        "numeric",
        [
            "1234567890123456789012345678901234567890.12345678901234567890",
            "NaN",
            "Infinity",
            "-Infinity",
            "0.00",
            "-0.10",
            "1e-30",
            "1" + "0" * 300,
            "5.000",
        ],
    ),
    "c_numeric_scaled": (
        "numeric(50,10)",
        ["1234567890123456789012345678901234567890.0000000001", "NaN", "-0.5"],
    ),
    "c_real": ("real", ["0.1", "3.4028235e38", "1e-45", "NaN", "Infinity", "-Infinity", "-0", "16777216"]),
    "c_double": (
        "double precision",
        ["0.1", "1.7976931348623157e308", "5e-324", "NaN", "Infinity", "-Infinity", "-0"],
    ),
    "c_money": ("money", ["12.34", "-1234567.89"]),
    "c_bool": ("boolean", ["true", "false"]),
    "c_text": ("text", NASTY),
    "c_varchar": ("varchar(30000)", NASTY),
    "c_char": ("char(5)", ["ab", "", '",\n']),
    "c_name": ("name", ["pg_class", "ü"]),
    "c_bytea": ("bytea", ["", "\\x00ff0a0d2c22", "\\x" + "ab" * 5000]),
    "c_date": (
        "date",
        ["2026-02-28", "0044-03-15 BC", "5874897-12-31", "infinity", "-infinity", "0001-01-01"],
    ),
    "c_time": ("time", ["00:00:00", "24:00:00", "23:59:59.999999"]),
    "c_timetz": ("timetz", ["12:00:00+02", "23:59:59.5-11:30"]),
    "c_timestamp": (
        "timestamp",
        [
            "2026-01-02 03:04:05",
            "2026-01-02 03:04:05.100000",
            "4713-01-01 00:00:00 BC",
            "294276-12-31 23:59:59.999999",
            "infinity",
            "-infinity",
        ],
    ),
    "c_timestamp_0": ("timestamp(0)", ["1999-12-31 23:59:59.6"]),
    "c_timestamptz": (
        "timestamptz",
        [
            "2026-07-01 12:00:00+02",
            "2026-01-01 00:00:00.000001-11:30",
            "4713-01-01 00:00:00+00 BC",
            "infinity",
            "-infinity",
            "294276-12-31 23:59:59+00",
        ],
    ),
    "c_interval": (
        "interval",
        ["1 year 2 mons -3 days 04:05:06.789", "-178000000 years", "00:00:00", "1 day -1 second"],
    ),
    "c_uuid": ("uuid", ["00000000-0000-0000-0000-000000000000", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"]),
    "c_json": (
        "json",
        [
            '{"b": 1,\n  "a":\r\n [1.50, 1e400, 12345678901234567890123]}',
            "null",
            '"text"',
            "[]",
            '{"a":1,"a":2}',
            " 1 ",
            '"\\u2028\\ud83d\\ude00 \\\\ \\""',
            '{"\\u0000":"\\u0000"}',
            "true",
            '"line\\nbreak\u2028"',
        ],
    ),
    "c_jsonb": (
        "jsonb",
        [
            '{"b": 1e50, "a": [1.50, 12345678901234567890123.000, null, {}]}',
            "null",
            '""',
            '"quote \\" \\n"',
            "1e300",
            "0.0",
        ],
    ),
    "c_inet": ("inet", ["192.168.0.1", "10.0.0.1/8", "::1", "fe80::1/64"]),
    "c_cidr": ("cidr", ["10.0.0.0/8", "2001:db8::/32"]),
    "c_macaddr": ("macaddr", ["08:00:2b:01:02:03"]),
    "c_macaddr8": ("macaddr8", ["08:00:2b:01:02:03:04:05"]),
    "c_bit": ("bit(8)", ["10101010", "00000000"]),
    "c_varbit": ("bit varying", ["", "1", "0" * 99]),
    "c_int4range": ("int4range", ["[1,5)", "empty", "(,)", "[3,]"]),
    "c_numrange": ("numrange", ["(1.50,2.5]", "[0,0]"]),
    "c_tsrange": ("tsrange", ["[2026-01-01 00:00:00,infinity)", "empty"]),
    "c_tstzrange": ("tstzrange", ["[2026-01-01 00:00:00+02,)"]),
    "c_daterange": ("daterange", ["[0044-03-15 BC,2026-01-01)"]),
    "c_multirange": ("int4multirange", ["{[1,3),[5,9)}", "{}"]),
    "c_point": ("point", ["(1.5,-0.1)", "(NaN,Infinity)"]),
    "c_box": ("box", ["(1,1),(0,0)"]),
    "c_path": ("path", ["[(0,0),(1,2)]"]),
    "c_tsvector": ("tsvector", ["'a':1 'quo''te':2A", ""]),
    "c_tsquery": ("tsquery", ["'a' & !'b'"]),
    "c_oid": ("oid", ["4294967295"]),
    "c_regclass": ("regclass", ["pg_class"]),
    "c_lsn": ("pg_lsn", ["16/B374D848"]),
    "c_snapshot": ("pg_snapshot", ["10:20:10,14,15"]),
    "c_integers": ("integer[]", ["{}", "{1,NULL,-3}", "[0:1]={5,6}"]),
    "c_matrix": ("integer[][]", ["{{1,2},{3,NULL}}", "{{{1}}}"]),
    "c_texts": (
        "text[]",
        ["{}", '{NULL,"NULL","","a,b","quote \\" \\\\","line\nbreak",{}}'.replace(",{}}", "}"), '{"👩‍👩‍👧"}'],
    ),
    "c_numerics": ("numeric[]", ["{1.50,NaN,1234567890123456789012345678901234567890}"]),
    "c_doubles": ("double precision[]", ["{NaN,Infinity,-0,0.1}"]),
    "c_bools": ("boolean[]", ["{t,f,NULL}"]),
    "c_times": ("timestamptz[]", ['{"2026-07-01 12:00:00+02",NULL,infinity}']),
    "c_jsonbs": ("jsonb[]", ['{"{\\"a\\": [1.0, null]}",NULL}']),
    "c_byteas": ("bytea[]", ['{"\\\\x00ff"}']),
    "c_mood": ("mood", ["sad", 'it\'s "so", so', "two\nlines"]),
    "c_moods": ("mood[]", ['{sad,NULL,"it\'s \\"so\\", so"}']),
    "c_pair": ("pair", ['(1,"a ""b"", c")', "(,)", '(2,"")', '(3,"line\nbreak")']),
    "c_pairs": ("pair[]", ['{"(1,\\"x,y\\")",NULL}']),
    "c_nest": ("nest", ['("(1,a)","{1,2}","2026-01-01 00:00:00")']),
    "c_positive": ("positive", ["1.10"]),
    "c_word": ("word", ["", 'a"b']),
    "c_words": ("words", ['{"a b",NULL}']),
}

TYPES = """
CREATE TYPE mood AS ENUM ('sad', 'it''s "so", so', E'two\\nlines');
CREATE TYPE pair AS (number integer, word text);
CREATE TYPE nest AS (inner_pair pair, numbers integer[], at timestamp);
CREATE DOMAIN positive AS numeric(30,2) CHECK (VALUE > 0);
CREATE DOMAIN word AS text;
CREATE DOMAIN words AS text[];
"""

SHOP = """
CREATE TABLE regions (id integer PRIMARY KEY, name text, zone_at timestamptz);
CREATE TABLE customers (id integer PRIMARY KEY, region_id integer REFERENCES regions, name text, data json,
    credit numeric);
CREATE TABLE orders (id bigint PRIMARY KEY, customer_id integer NOT NULL REFERENCES customers, placed_at timestamp,
    total numeric(12,2), open boolean, marks text[]);
CREATE TABLE line_items (id integer PRIMARY KEY, order_id bigint NOT NULL REFERENCES orders, quantity integer,
    note text);
CREATE TABLE options (id integer PRIMARY KEY, line_item_id integer NOT NULL REFERENCES line_items, value jsonb);
INSERT INTO regions SELECT n, nullif(E'r\\n' || n, E'r\\n2'), '2026-01-01 00:00:00+02' FROM generate_series(1, 3) n;
INSERT INTO customers SELECT n, nullif(n % 4, 0), (ARRAY['', NULL, E'a"b\\n,', '\\'])[1 + n % 4],
    CASE WHEN n % 3 = 0 THEN E'{"k":\\n 1.0}'::json END, nullif(n, 5) / 7.0 FROM generate_series(1, 40) n;
INSERT INTO orders SELECT n, 1 + n % 39, nullif(timestamp '2026-01-01' + n * interval '1 hour', '2026-01-01 05:00'),
    n / 3.0, n % 2 = 0, CASE WHEN n % 5 > 0 THEN ARRAY[NULL, 'x"y', n::text] END FROM generate_series(1, 120) n;
INSERT INTO line_items SELECT n, 1 + n % 100, n % 7, CASE n % 4 WHEN 0 THEN '' WHEN 1 THEN E'two\\nlines' END
    FROM generate_series(1, 300) n;
INSERT INTO options SELECT n, 1 + n % 250, jsonb_build_object('n', n / 8.0) FROM generate_series(1, 400) n;
"""


def fill(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TYPES)
        columns = ", ".join(f"{name} {kind}" for name, (kind, _) in COLUMNS.items())
        connection.execute(
            f"CREATE TABLE nasty (id integer PRIMARY KEY, {columns}, "
            "c_generated text GENERATED ALWAYS AS ('<' || c_text || '>') STORED)"
        )
        for row in range(max(len(values) for _, values in COLUMNS.values()) + 1):
            here = {name: values[row - 1] for name, (_, values) in COLUMNS.items() if 0 < row <= len(values)}
            names = sql.SQL(", ").join(map(sql.Identifier, ["id", *here]))
            places = sql.SQL(", ").join(
                sql.SQL("{}").format(sql.Literal(value)) for value in [row, *here.values()]
            )
            connection.execute(sql.SQL("INSERT INTO nasty ({}) VALUES ({})").format(names, places))
        connection.execute("CREATE TABLE empties AS SELECT * FROM nasty WHERE false")
        connection.execute("ALTER TABLE empties ADD PRIMARY KEY (id)")
        connection.execute(
            "CREATE TABLE lonely (word text); INSERT INTO lonely VALUES (NULL), (''), ('a'), (NULL), (NULL), ('\\N')"
        )
        connection.execute("CREATE TABLE words_in_batch (id integer PRIMARY KEY, word text)")
        connection.execute(SHOP)
        connection.execute(
            "CREATE TABLE wide AS SELECT n AS id, md5(n::text) AS word, n * 1.10 AS amount, "
            "CASE n % 50 WHEN 0 THEN E'two\\nlines' WHEN 1 THEN '' WHEN 2 THEN NULL "
            "ELSE repeat('y', n % 90) END AS filler "
            "FROM generate_series(1, 2000) n; ALTER TABLE wide ADD PRIMARY KEY (id)"
        )
        connection.execute("CREATE VIEW seen AS SELECT id, c_text, c_json FROM nasty")
        connection.execute("CREATE MATERIALIZED VIEW kept AS SELECT id, c_numeric, c_timestamptz FROM nasty")
        connection.execute(
            "CREATE TABLE divided (id integer, word text) PARTITION BY RANGE (id);"
            "CREATE TABLE divided_low PARTITION OF divided FOR VALUES FROM (0) TO (500);"
            "CREATE TABLE divided_high PARTITION OF divided DEFAULT;"
            "INSERT INTO divided SELECT n, md5(n::text) FROM generate_series(1, 3000) n"
        )
        connection.execute("ANALYZE")
