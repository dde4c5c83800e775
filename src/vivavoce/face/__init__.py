"""What every face engine shares: landmarks, sound features, articulation per frame, idle motion."""
