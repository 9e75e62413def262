"""The commands behind `selector`, grouped by what they work on; selector/cli.py registers them."""
