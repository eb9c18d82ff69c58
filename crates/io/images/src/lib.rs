//! minato-images
