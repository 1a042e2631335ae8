"""C sources become a module: compilers and their options, the CPUs of portable modules, the cache, files on disk."""
