"""What was scored once: shards on disk, their schema, and how a store looks through a listing."""
