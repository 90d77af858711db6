/** Guesses the format of files that are not ONNX models, and gives advice on converting them. */

export interface Guess {
  readonly what: string;
  /** In several parts, because some commands accept no data. */
  readonly hint: string | readonly string[];
}

const pytorch = "Export the network with torch.onnx.export; weights alone are not a network.";
const keras =
  "Convert it: python -m tf2onnx.convert --saved-model <folder> --output model.onnx (Keras: model.export(folder) first).";
const tensorflow = "Convert it: python -m tf2onnx.convert --saved-model <folder> --output model.onnx.";
const web = "Convert it: python -m tf2onnx.convert --tfjs model.json --output model.onnx.";
const lite = "Convert it: python -m tf2onnx.convert --tflite model.tflite --output model.onnx.";
const weightsOnly = "Export the model that the weights belong to, with torch.onnx.export or optimum-cli export onnx.";
const llama = "Take the ONNX export of the model: optimum-cli export onnx --model <name> <folder>.";
const zip = "If it is a PyTorch checkpoint, export the network with torch.onnx.export; else unpack it.";
const unpack = "Unpack it, and name the .onnx file in it.";
const nameFile = "Name the .onnx file.";
const picture = [nameFile, "A folder of pictures can be the `data`."];
const data = [nameFile, "It can be the `data`."];
const source = "Take the ONNX model that it was made from.";
const text = "Write it as a file first: onnx.save(onnx.parser.parse_model(text), path).";

/** Bytes at the start of a file from which the format is guessed. */
export const sniffedBytes = 512;

/** Patterns of the first bytes, with control characters as points. In a zip archive, they match file names. */
const beginningPatterns: readonly (readonly [bytes: RegExp, what: string, hint: Guess["hint"]])[] = [
  [/^PK\.{2}.{26}((metadata|config)\.json|.*weights\.h5)/s, "a Keras model", keras],
  [/^PK\.{2}.{26}.*(data\.pkl|constants\.pkl|version|byteorder|\.data\/)/s, "a PyTorch checkpoint", pytorch],
  [/^PK\.{2}.{26}.*\.npy/s, "a NumPy archive (.npz): arrays without a network", data],
  [/^PK\.{2}.{26}.*\.onnx/s, "a zip archive with an ONNX model in it", unpack],
  [/^PK\.\./, "a zip archive", zip],
  [/^\x80\./, "a Python pickle, perhaps an old PyTorch checkpoint", pytorch],
  [/^GG(UF|ML)/, "a GGUF file of llama.cpp", llama],
  [/^\x89HDF/, "an HDF5 file, perhaps a Keras model", keras],
  [/^.{4}TFL3/s, "a TensorFlow Lite model", lite],
  [/^.{4}ORTM/s, "a model in ONNX Runtime's own format", source],
  [/^.{8}\{"/s, "a safetensors file: weights without a network", weightsOnly],
  [/^\x93NUMPY/, "a NumPy array (.npy)", data],
  [/^[pf]trt/, "a TensorRT engine", "Take the .onnx file that it was built from: an engine cannot be turned back."],
  [/^(\.\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|\x28\xb5\x2f\xfd|.{257}ustar)/s, "a packed or tar archive", unpack],
  [/^\x89PNG/, "a PNG picture", picture],
  [/^\xff\xd8\xff/, "a JPEG picture", picture],
  [/^(GIF8|RIFF.{4}WEBP)/s, "a picture", picture],
  [/^RIFF.{4}WAVE/s, "a WAV recording", data],
  [/^%PDF/, "a PDF document", nameFile],
  [/^version https:\/\/git-lfs/, "a placeholder of Git LFS, not the file itself", "Run git lfs pull."],
  [/^<ir_version/, "an ONNX model as text", text],
  [/^<\?xml/, "XML, perhaps an OpenVINO model", source],
  [/^</, "a web page or XML", "The download link led to a page: fetch the file itself."],
  [/^\{.*"(graph-model|layers-model|modelTopology)"/s, "a TensorFlow.js model", web],
  [/^\{/, "JSON", nameFile],
];

/** For files whose first bytes match nothing. */
const namePatterns: typeof beginningPatterns = [
  [/\.(onnx_data(_\d+)?|onnx\.data|data)$/i, "the weights of an ONNX model, kept beside it", nameFile],
  [/\.(pt|pth|bin|ckpt|pkl)$/i, "a PyTorch checkpoint", pytorch],
  [/\.(h5|hdf5|keras)$/i, "a Keras model", keras],
  [/\.tflite$/i, "a TensorFlow Lite model", lite],
  [/\.(pb|pbtxt|meta)$/i, "a TensorFlow model", tensorflow],
  [/\.safetensors$/i, "a safetensors file: weights without a network", weightsOnly],
  [/\.(pdmodel|pdiparams)$/i, "a Paddle model", "Convert it: paddle2onnx --model_dir <folder> --save_file model.onnx."],
  [/\.(mlmodel|mlpackage|caffemodel|prototxt)$/i, "a Core ML or Caffe model", source],
];

/** Guesses the format of a file from its first bytes, otherwise from its name. */
export function sniff(head: Uint8Array, name: string): Guess | undefined {
  const bytes = String.fromCharCode(...head.subarray(0, sniffedBytes).map((byte) => (byte < 32 ? 46 : byte)));
  const [, format, hint] =
    beginningPatterns.find(([beginning]) => beginning.test(bytes)) ??
    namePatterns.find(([ending]) => ending.test(name)) ??
    [];
  if (format !== undefined && hint !== undefined) return { what: format, hint };
  const isText =
    head.length > 0 && head.every((byte) => (byte >= 32 && byte < 127) || byte === 9 || byte === 10 || byte === 13);
  return isText ? { what: "a text file", hint: nameFile } : undefined;
}
