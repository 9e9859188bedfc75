//! Folds facts into SQL rows and answers queries over them.
