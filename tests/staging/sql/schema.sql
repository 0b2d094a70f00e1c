-- A schema in which a dump can go wrong: every kind of object, values that depend on the session, names that need quotes.
SET NAMES utf8mb4;
SET time_zone = '+08:00';
CREATE DATABASE d CHARACTER SET latin1;
USE d;
CREATE TABLE a (
  id int AUTO_INCREMENT PRIMARY KEY, n varchar(40), g int AS (hidden * 2) VIRTUAL, s int AS (hidden + 1) STORED,
  hidden int INVISIBLE DEFAULT 3, t timestamp NULL DEFAULT current_timestamp() ON UPDATE current_timestamp(), bits bit(5));
SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
INSERT INTO a (id, n, hidden, t, bits) VALUES
  (0, 'zero', 7, from_unixtime(1767240000), b'10101'), (5, 'it''s \\ ; -- x\n/* ', 8, '2001-02-03 04:05:06', b'1');
SET sql_mode = DEFAULT;
CREATE TABLE `odd ``name` (
  k varbinary(9) PRIMARY KEY, e varchar(40) CHARACTER SET utf8mb4, l varchar(20), b longblob, j json, p point);
INSERT INTO `odd ``name` VALUES
  (x'00ff80', 'ok 😀 𠮷', 'café', unhex(repeat('00ff27', 200000)), '{"a": 1}', point(1, 2)), (x'', NULL, '', NULL, NULL, NULL);
CREATE TABLE z_parent (id int PRIMARY KEY);
CREATE TABLE b_child (id int PRIMARY KEY, p int, FOREIGN KEY (p) REFERENCES z_parent (id));
INSERT INTO z_parent VALUES (1);
INSERT INTO b_child VALUES (1, 1);
CREATE TABLE h (id int PRIMARY KEY, v int) WITH SYSTEM VERSIONING;
INSERT INTO h VALUES (1, 10);
UPDATE h SET v = 20;
INSERT INTO h VALUES (2, 5);
DELETE FROM h WHERE id = 2;
CREATE TABLE log (n int) ENGINE=MyISAM;
INSERT INTO log VALUES (1), (2);
CREATE TABLE billed (t timestamp(6) DEFAULT now(6));
CREATE SEQUENCE seq START WITH 5;
DO nextval(seq);
CREATE VIEW m_view AS SELECT id, n FROM a;
CREATE VIEW a_view AS SELECT n FROM m_view;
CREATE FUNCTION f() RETURNS int DETERMINISTIC RETURN 2;
DELIMITER //
CREATE PROCEDURE p() COMMENT 'it''s; -- '
BEGIN
  -- it's a comment; with a quote
  SELECT 'p;'; # another's
  /* it's ; */ SELECT 2;
END//
CREATE TRIGGER tr BEFORE INSERT ON a FOR EACH ROW BEGIN SET NEW.n = concat(NEW.n, ';'); END//
CREATE EVENT ev ON SCHEDULE EVERY 1 SECOND DO BEGIN INSERT INTO d.billed VALUES (); END//
CREATE EVENT asleep ON SCHEDULE EVERY 1 DAY DISABLE COMMENT 'PRESERVE ENABLE' DO SET @x = 1//
DELIMITER ;
SET sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES';
DELIMITER //
CREATE PROCEDURE back() BEGIN SELECT '\'; SELECT "f"(); END//
DELIMITER ;
ALTER DATABASE d CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
