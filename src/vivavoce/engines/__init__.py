"""The engines that ship with the product; each uses the same door as anybody's."""
