/** What a file is if it is not an ONNX model: people open what they have. */
const signatures: readonly (readonly [offset: number, bytes: string, what: string, hint: string])[] = [
  [
    0,
    "PK\x03\x04",
    "a zip archive, perhaps a PyTorch checkpoint or .npz",
    "Export the network with torch.onnx.export.",
  ],
  [0, "\x80\x02", "a Python pickle, perhaps an old PyTorch checkpoint", "Export the network with torch.onnx.export."],
  [0, "GGUF", "a GGUF file of llama.cpp", "Take the ONNX export of the model."],
  [0, "\x89HDF", "an HDF5 file, perhaps a Keras model", "Convert it with tf2onnx."],
  [4, "TFL3", "a TensorFlow Lite model", "Convert it with tf2onnx."],
  [4, "ORTM", "a model in ONNX Runtime's own format", "Take the .onnx file that it was made from."],
  [8, '{"', "a safetensors file: weights without a network", "Export the network with torch.onnx.export."],
  [0, "version https://git-lfs", "a placeholder of Git LFS, not the file itself", "Run git lfs pull."],
  [0, "<", "a web page or XML", "The download link led to a page: fetch the file itself."],
  [0, "{", "JSON", "Name the .onnx file."],
];

const endings: readonly (readonly [ending: RegExp, what: string, hint: string])[] = [
  [/\.(pt|pth|bin|ckpt)$/i, "a PyTorch checkpoint", "Export the network with torch.onnx.export."],
  [/\.(h5|hdf5|keras)$/i, "a Keras model", "Convert it with tf2onnx."],
  [/\.(tflite|pb)$/i, "a TensorFlow model", "Convert it with tf2onnx."],
  [/\.safetensors$/i, "a safetensors file: weights without a network", "Export the network with torch.onnx.export."],
];

/** A guess from the first bytes of a file, or else from its name. */
export function sniff(head: Uint8Array, name: string): { readonly what: string; readonly hint: string } | undefined {
  const text = String.fromCharCode(...head.subarray(0, 64));
  for (const [offset, bytes, what, hint] of signatures) {
    if (text.startsWith(bytes, offset)) return { what, hint };
  }
  for (const [ending, what, hint] of endings) if (ending.test(name)) return { what, hint };
  return undefined;
}
