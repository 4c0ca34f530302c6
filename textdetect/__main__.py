"""`python -m textdetect`: the command line, where its script is not on the path."""

from textdetect.cli import main

if __name__ == "__main__":
    main()
