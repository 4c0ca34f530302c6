"""Posts: text, language and own words; files of them read and written; splits and mixtures."""
