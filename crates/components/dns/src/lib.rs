//! minato-dns
