"""Meta-analysis with dependent estimates: any random terms, any V."""
