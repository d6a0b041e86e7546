"""One file a kind of cluster; each is imported only when it is used."""
