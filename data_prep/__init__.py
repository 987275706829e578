"""Scripts that make the audio the project ships and trains on; they import the library, never the reverse."""
