/** What a file is if it is not an ONNX model: people open what they have, and want to know how to get from there to ONNX. */

export interface Guess {
  readonly what: string;
  readonly hint: string;
}

const pytorch = "Export the network with torch.onnx.export; weights alone are not a network.";
const keras =
  "Convert it: python -m tf2onnx.convert --saved-model <folder> --output model.onnx (Keras: model.export(folder) first).";
const tensorflow = "Convert it: python -m tf2onnx.convert --saved-model <folder> --output model.onnx.";
const weightsOnly =
  "It contains no network: export the model it belongs to with torch.onnx.export or optimum-cli export onnx.";
const unpack = "Unpack it, and name the .onnx file in it.";

/** How far into a file a guess looks. */
export const sniffedBytes = 512;

/** Of a zip archive the name of the first file tells what it is. */
const zipContents: readonly (readonly [name: RegExp, what: string, hint: string])[] = [
  [/(^|\/)(data\.pkl|constants\.pkl|version|\.format_version|byteorder|\.data\/)/, "a PyTorch checkpoint", pytorch],
  [/^(metadata|config)\.json$|weights\.h5$/, "a Keras model", keras],
  [/\.npy$/, "a NumPy archive (.npz): arrays without a network", "It can be the `data`."],
  [/\.onnx$/i, "a zip archive with an ONNX model in it", unpack],
];

const signatures: readonly (readonly [offset: number, bytes: string, what: string, hint: string])[] = [
  [
    0,
    "PK\x03\x04",
    "a zip archive",
    "If it is a PyTorch checkpoint, export the network with torch.onnx.export; else unpack it.",
  ],
  [
    0,
    "GGUF",
    "a GGUF file of llama.cpp",
    "Take the ONNX export of the model: optimum-cli export onnx --model <name> <folder>.",
  ],
  [
    0,
    "GGML",
    "a GGML file of llama.cpp",
    "Take the ONNX export of the model: optimum-cli export onnx --model <name> <folder>.",
  ],
  [0, "\x89HDF", "an HDF5 file, perhaps a Keras model", keras],
  [
    4,
    "TFL3",
    "a TensorFlow Lite model",
    "Convert it: python -m tf2onnx.convert --tflite model.tflite --output model.onnx.",
  ],
  [4, "ORTM", "a model in ONNX Runtime's own format", "Take the .onnx file that it was made from."],
  [8, '{"', "a safetensors file: weights without a network", weightsOnly],
  [0, "\x93NUMPY", "a NumPy array (.npy)", "It can be the `data`."],
  [0, "ptrt", "a TensorRT engine", "Take the .onnx file that it was built from: an engine cannot be turned back."],
  [0, "ftrt", "a TensorRT engine", "Take the .onnx file that it was built from: an engine cannot be turned back."],
  [0, "7767517", "an ncnn model", "Take the ONNX model that it was made from."],
  [0, "\x1f\x8b", "a gzip archive", unpack],
  [0, "BZh", "a bzip2 archive", unpack],
  [0, "\xfd7zXZ", "an xz archive", unpack],
  [0, "7z\xbc\xaf", "a 7-Zip archive", unpack],
  [0, "\x28\xb5\x2f\xfd", "a Zstandard archive", unpack],
  [257, "ustar", "a tar archive", unpack],
  [0, "version https://git-lfs", "a placeholder of Git LFS, not the file itself", "Run git lfs pull."],
  [
    0,
    "<ir_version",
    "an ONNX model as text",
    "Write it as a file first: onnx.save(onnx.parser.parse_model(text), path).",
  ],
  [0, "<?xml", "XML, perhaps an OpenVINO model", "Take the ONNX model that it was made from."],
  [0, "<", "a web page or XML", "The download link led to a page: fetch the file itself."],
  [0, "{", "JSON", "Name the .onnx file."],
];

const endings: readonly (readonly [ending: RegExp, what: string, hint: string])[] = [
  [
    /\.(onnx_data(_\d+)?|onnx\.data|data)$/i,
    "the weights of an ONNX model, kept beside it",
    "Name the .onnx file instead.",
  ],
  [/\.(pt|pth|bin|ckpt|pkl)$/i, "a PyTorch checkpoint", pytorch],
  [/\.(h5|hdf5|keras)$/i, "a Keras model", keras],
  [/\.tflite$/i, "a TensorFlow Lite model", tensorflow],
  [/\.(pb|pbtxt|meta)$/i, "a TensorFlow model", tensorflow],
  [/\.safetensors$/i, "a safetensors file: weights without a network", weightsOnly],
  [/\.(pdmodel|pdiparams)$/i, "a Paddle model", "Convert it: paddle2onnx --model_dir <folder> --save_file model.onnx."],
  [/\.(mlmodel|mlpackage)$/i, "a Core ML model", "Take the network that it was made from, and export that to ONNX."],
  [/\.(caffemodel|prototxt)$/i, "a Caffe model", "Take an ONNX version of the network: Caffe has no exporter."],
];

/** A guess from the first bytes of a file, or else from its name. */
export function sniff(head: Uint8Array, name: string): Guess | undefined {
  const text = String.fromCharCode(...head.subarray(0, sniffedBytes));
  if (text.startsWith("PK\x03\x04")) {
    const first = text.slice(30, 30 + text.charCodeAt(26) + 256 * text.charCodeAt(27));
    for (const [content, what, hint] of zipContents) if (content.test(first)) return { what, hint };
  }
  // A pickle says its protocol, and protocols are few.
  const protocol = head[1] ?? 0;
  if (head[0] === 0x80 && protocol >= 2 && protocol <= 5)
    return { what: "a Python pickle, perhaps an old PyTorch checkpoint", hint: pytorch };
  for (const [offset, bytes, what, hint] of signatures) {
    if (text.startsWith(bytes, offset)) return { what, hint };
  }
  for (const [ending, what, hint] of endings) if (ending.test(name)) return { what, hint };
  if (isText(text)) return { what: "a text file", hint: "Name the .onnx file." };
  return undefined;
}

function isText(text: string): boolean {
  return text.length >= 16 && /^[\t\n\r\x20-\x7e]+$/.test(text);
}
