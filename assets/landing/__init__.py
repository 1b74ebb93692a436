"""Landing: files of a source become Parquet under the home, once, whole and in the contract's columns."""
