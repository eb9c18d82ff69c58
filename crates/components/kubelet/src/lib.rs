//! minato-kubelet
