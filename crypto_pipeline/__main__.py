"""`python -m crypto_pipeline` is `crypto-pipeline`."""

from crypto_pipeline.cli import main

if __name__ == "__main__":
    main()
