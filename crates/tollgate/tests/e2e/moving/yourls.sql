-- MySQL dump 10.19  Distrib 10.3.39-MariaDB, for debian-linux-gnu (x86_64)
--
-- Host: localhost    Database: yourls
-- ------------------------------------------------------
/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!40103 SET TIME_ZONE='+00:00' */;

DROP TABLE IF EXISTS `yourls_log`;
/*!40101 SET character_set_client = utf8 */;
CREATE TABLE `yourls_log` (
  `click_id` int(11) NOT NULL AUTO_INCREMENT,
  `click_time` datetime NOT NULL,
  `shorturl` varchar(200) CHARACTER SET utf8 COLLATE utf8_bin NOT NULL,
  `referrer` varchar(200) NOT NULL,
  `user_agent` varchar(255) NOT NULL,
  `ip_address` varchar(41) NOT NULL,
  `country_code` char(2) NOT NULL,
  PRIMARY KEY (`click_id`),
  KEY `shorturl` (`shorturl`)
) ENGINE=InnoDB AUTO_INCREMENT=9 DEFAULT CHARSET=utf8;

LOCK TABLES `yourls_log` WRITE;
/*!40000 ALTER TABLE `yourls_log` DISABLE KEYS */;
INSERT INTO `yourls_log` VALUES (1,'2017-12-10 15:36:52','guide','https://www.news.example/today','Mozilla/5.0 (X11; Linux x86_64; rv:57.0) Gecko/20100101 Firefox/57.0','192.0.2.15','IN'),(2,'2017-12-10 18:48:05','guide','direct','Mozilla/5.0 (X11; Linux x86_64; rv:57.0) Gecko/20100101 Firefox/57.0','192.0.2.15','IN'),(3,'2017-12-11 09:00:00','guide','direct','curl/7.58.0','198.51.100.2','DE'),
(4,'2017-12-11 09:00:01','mine','direct','curl/7.58.0','198.51.100.2','DE'),(5,'2017-12-12 09:00:01','removed','direct','curl/7.58.0','198.51.100.2',''),(6,'0000-00-00 00:00:00','caf\'e','https://x.example/?a=\"b\"','Mozilla/5.0 (Windows NT 10.0; rv:57.0) Gecko/20100101 Firefox/57.0','not an address','?');
/*!40000 ALTER TABLE `yourls_log` ENABLE KEYS */;
UNLOCK TABLES;

DROP TABLE IF EXISTS `yourls_options`;
CREATE TABLE `yourls_options` (
  `option_id` bigint(20) unsigned NOT NULL AUTO_INCREMENT,
  `option_name` varchar(64) NOT NULL DEFAULT '',
  `option_value` longtext NOT NULL,
  PRIMARY KEY (`option_id`,`option_name`)
) ENGINE=InnoDB;
INSERT INTO `yourls_options` VALUES (1,'version','1.9.2'),(2,'core_version_checks','O:8:\"stdClass\":1:{s:3:\"url\";s:9:\"(\'a\'),(;\";}');

DROP TABLE IF EXISTS `yourls_url`;
CREATE TABLE `yourls_url` (
  `keyword` varchar(200) CHARACTER SET utf8 COLLATE utf8_bin NOT NULL,
  `url` text CHARACTER SET utf8 COLLATE utf8_bin NOT NULL,
  `title` text,
  `timestamp` timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  `ip` varchar(41) NOT NULL,
  `clicks` int(10) unsigned NOT NULL,
  PRIMARY KEY (`keyword`),
  KEY `timestamp` (`timestamp`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
INSERT INTO `yourls_url` VALUES ('guide','https://guide.example/start','The guide: \'Start\'\n here','2017-12-10 12:00:00','127.0.0.1',10),
('mine','https://mine.example/',NULL,'2017-12-10 12:00:01','127.0.0.1',1),
('mail','mailto:somebody@example.com','Mail','2017-12-10 12:00:02','127.0.0.1',4),
('hex',0x68747470733A2F2F6865782E6578616D706C652F,'','2017-12-10 12:00:03','127.0.0.1',0),
('plain','https://plain.example/?q=a%20b&c=1;d','plain','2017-12-10 12:00:04','127.0.0.1',7);
