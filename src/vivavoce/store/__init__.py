"""Where results and avatars lie: safe names, atomic publication, retention."""
