/** The models of the gallery: their files, and the command that makes each smaller. */

export interface GalleryModel {
  /** Name of its files in `site/gallery/`, and anchor of its section. */
  readonly name: string;
  readonly title: string;
  readonly technique: string;
  /** Sentences in Markdown on the source and the license of the model and its data. */
  readonly source: string;
  /** Path in the folder of the command → path in the folder of models and data. */
  readonly files: Readonly<Record<string, string>>;
  /** Words after `pith`, without the folder of results. With `-r`, the recipe in `site/gallery/` is read, otherwise it is written. */
  readonly command: readonly string[];
  /** Sentences in Markdown on what the result lost, and what was tried without success. */
  readonly note: string;
}

const cifar10 =
  "The data is [CIFAR-10](https://www.cs.toronto.edu/~kriz/cifar.html) (Krizhevsky 2009, for research): 20,000 training images, and the first 1,000 test images.";
const photos =
  "The data is 500 photos of [ImageNet](https://www.image-net.org/) (for research), one for each of 500 classes.";
const imagenet = `${photos} They are probably training images, so only the difference between both models counts.`;
const resnets =
  "[akamaster/pytorch_resnet_cifar10](https://github.com/akamaster/pytorch_resnet_cifar10) (BSD-2-Clause), converted to ONNX.";

export const models: readonly GalleryModel[] = [
  {
    name: "resnet20",
    title: "ResNet-20",
    technique: "search",
    source: `The model is from ${resnets} ${cifar10}`,
    files: { "resnet20.onnx": "models/resnet20.onnx", cifar10: "cifar10" },
    command: [
      ...["compress", "resnet20.onnx", "--data", "cifar10/", "--preprocess", "imagenet"],
      ...["--for", "size", "--steps", "12"],
    ],
    note: "With `--for size`, speed does not count: the result is slower, because weights of 4 bits are unpacked for each run. Half of the test images chose among the candidates, and only the other half measures the result. The interval is therefore wide.",
  },
  {
    name: "resnet56",
    title: "ResNet-56",
    technique: "static low-entropy int8",
    source: `The model is from ${resnets} ${cifar10}`,
    files: { "resnet56.onnx": "models/resnet56.onnx", cifar10: "cifar10" },
    command: [
      ...["compress", "resnet56.onnx", "--data", "cifar10/", "--preprocess", "imagenet"],
      ...["-r", "recipe.yaml"],
    ],
    note: "The gain is in the download: each weight is rounded to an integer that brotli stores in few bits. The rounding takes minutes, because it is repeated for several sizes of the steps between integers.",
  },
  {
    name: "mobilenetv2",
    title: "MobileNetV2",
    technique: "static int8",
    source: `The model is MobileNetV2 1.0 of [Keras](https://keras.io/api/applications/mobilenet/) (MIT). ${imagenet}`,
    files: { "mobilenetv2.onnx": "models/mobilenetv2.onnx", imagenet: "images/imagenet" },
    command: [
      ...["compress", "mobilenetv2.onnx", "--data", "imagenet/"],
      ...["--preprocess", "scale=1 mean=127 std=127.5 crop=224", "-r", "recipe.yaml"],
    ],
    note: "The weights came from a file with int8 weights per channel, so rounding them to int8 again is exact. The result shows only what int8 activations cost, and not what int8 weights cost.",
  },
  {
    name: "squeezenet",
    title: "SqueezeNet",
    technique: "palettes of 8 bits",
    source: `The model is the decoded file of [Deep Compression](https://github.com/songhan/SqueezeNet-Deep-Compression) (Han et al., BSD-2-Clause). ${imagenet}`,
    files: { "squeezenet.onnx": "models/squeezenet1.0_deepcompression.onnx", imagenet: "images/imagenet" },
    command: [
      ...["compress", "squeezenet.onnx", "--data", "imagenet/"],
      ...["--preprocess", "caffe crop=227", "-r", "recipe.yaml"],
    ],
    note: "Each layer of the published model has at most 256 distinct weights. A palette of 8 bits stores them exactly, so nothing is lost. The authors' compressed file, in a format of its own, has 676 kB: less than this file, but more than its download after brotli.",
  },
  {
    name: "bert",
    title: "BERT",
    technique: "palettes of 2 bits, distilled",
    source:
      "The model was trained for the tests of Pith: 4 layers, 128 channels, 1.6 million parameters. It is not published. The data is [SST-2](https://nlp.stanford.edu/sentiment/) (Socher et al. 2013, for research).",
    files: { bert: "models/bert_sst2", "sst2/train.tsv": "text/sst2_train.tsv", "sst2/dev.tsv": "text/sst2_dev.tsv" },
    command: ["compress", "bert/onnx/model.onnx", "--data", "sst2/", "-r", "recipe.yaml"],
    note: "Each weight is one of four values of its layer. Rounding alone keeps the accuracy here. Distillation for one epoch trains the values, so that more predictions are those of the original. The result is smaller, but not faster: the runtime looks the values up and computes in float.",
  },
  {
    name: "llama",
    title: "Llama",
    technique: "4 bits in blocks",
    source:
      "The model was trained for the tests of Pith on Shakespeare's plays: 4 layers, 192 channels, 1.5 million parameters. It is not published. The test data is the last 5 % of the [text](https://github.com/karpathy/char-rnn/blob/master/data/tinyshakespeare/input.txt) (public domain), as token ids.",
    files: { llama: "models/llama_shakespeare" },
    command: [
      ...["compress", "llama/onnx/decoder_model.onnx", "--data", "llama/test_ids_u16le.bin"],
      ...["-r", "recipe.yaml"],
    ],
    note: "The accuracy is the share of next tokens that the model predicts. The result is slower than the original in the native runtime, because weights of 4 bits are unpacked for each run.",
  },
  {
    name: "silero_vad",
    title: "Silero VAD",
    technique: "int8 weights",
    source:
      "The model is [Silero VAD](https://github.com/snakers4/silero-vad) (MIT), which detects speech. The data is the 60 seconds of sound that its repository contains.",
    files: { "silero_vad.onnx": "models/silero_vad.onnx", "speech.wav": "audio/silero_test.wav" },
    command: [
      ...["compress", "silero_vad.onnx", "--data", "speech.wav", "--set", "sr=16000"],
      ...["--preprocess", "frame=512 context=64 rate=16000", "-r", "recipe.yaml"],
    ],
    note: "The whole network is inside an If node, for two sample rates. Static quantization does not enter subgraphs, so only the weights are quantized, and the result is slower.",
  },
  {
    name: "ultraface",
    title: "UltraFace",
    technique: "search of number formats",
    source: `The model is the slim version of [Ultra-Light-Fast-Generic-Face-Detector](https://github.com/Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB) (MIT). ${photos} No label is used: the boxes are compared with those of the original.`,
    files: { "ultraface.onnx": "models/ultraface_slim320.onnx", photos: "images/imagenet" },
    command: [
      ...["compress", "ultraface.onnx", "--data", "photos/", "--metric", "box-overlap"],
      ...["--preprocess", "scale=1 mean=127 std=128 resize=240x320"],
      ...["--techniques", "quantize", "--for", "size", "--steps", "6", "--max-drop", "5%"],
    ],
    note: "All formats of 8 bits or fewer lose more boxes than the goal allows, as the chart shows. The speed is not a gain of float16: the original lists its weights as inputs, so ONNX Runtime cannot fold them. `pith simplify` alone makes it 2.73 × as fast. Few of the photos have faces. Many boxes have scores near the threshold, so small changes add or remove them.",
  },
];
