"""Parts of screens: each shows one thing and knows where none of its values come from."""
