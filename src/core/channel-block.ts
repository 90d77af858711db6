/**
 * The number of channels per block of ONNX Runtime's convolutions with AVX-512; AVX2 uses 8. A partial block takes as long as a full one. Relative
 * time of six 3 × 3 convolutions on 16 × 16 maps, one thread: 16 channels 0.17, 20 to 32 channels 0.49, 40 and 48 channels 1.00.
 */
export const widestBlock = 16;
