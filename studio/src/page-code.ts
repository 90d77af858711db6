/** Code for the user's page: loads the model with onnxruntime-web, and prepares its input as the samples were prepared. The browser resizes with its own filter. */
import type { ImageInput, ModelView } from "./backend/backend.ts";

/** Version of the runtime with which the page measures. */
const runtimeVersion = "1.30.0";

/** Returns a text without the characters that end a comment: names of a model can be anything. */
const escapeComment = (text: string): string => text.replace(/[\r\n\u2028\u2029]/g, " ").replaceAll("*/", "* /");

interface PageModel {
  /** Name of the model's file. */
  readonly file: string;
  readonly inputs: ModelView["inspection"]["inputs"];
  readonly output: string;
  /** Names of the classes; undefined if they are not known. */
  readonly classes: readonly string[] | undefined;
  /** How images become the input; undefined for other samples. */
  readonly image: ImageInput | undefined;
  /** Name of the preprocessing. */
  readonly preprocessing: string | undefined;
}

export function pageCode({ file, inputs, output, classes, image, preprocessing }: PageModel): string {
  const isImage = image !== undefined && inputs.length === 1;
  const names = inputs.map(({ name, type, dims }) =>
    escapeComment(`  // ${JSON.stringify(name)}: new ort.Tensor("${type}", values, ${dims})`),
  );
  const note = preprocessing === undefined || isImage ? [] : [escapeComment(`  // preprocessing: ${preprocessing}`)];
  const value = isImage ? 'await inputOf(document.querySelector("img"))' : "yourTensor";
  const feeds = inputs.map(({ name }) => `  ${JSON.stringify(name)}: ${value},`);
  const result = `outputs[${JSON.stringify(output)}].data`;
  const shown =
    classes === undefined
      ? `console.log(${result});`
      : `const classes = ${JSON.stringify(classes)};
const scores = [...${result}];
console.log(classes[scores.indexOf(Math.max(...scores))]);`;
  // The plain build of the runtime is smaller than the default one, which has WebGPU, too.
  return `import * as ort from "onnxruntime-web/wasm"; // npm install onnxruntime-web@${runtimeVersion}
// Without a bundler, in <script type="module">: import * as ort from "https://cdn.jsdelivr.net/npm/onnxruntime-web@${runtimeVersion}/dist/ort.wasm.bundle.min.mjs"
${isImage ? inputCode(image, preprocessing) : ""}
const session = await ort.InferenceSession.create(${JSON.stringify(`/models/${file}`)});
const outputs = await session.run({
${[...(isImage ? [] : names), ...note, ...feeds].join("\n")}
});
${shown}
`;
}

/** Returns a function that resizes an image, crops its center, and computes x = (byte · scale − mean) / std. */
function inputCode(image: ImageInput, preprocessing = "unit"): string {
  const { channels, isChannelsFirst, height, width, shortSide, scale, mean, std, isBgr } = image;
  const list = (numbers: readonly number[]): string =>
    `[${Array.from({ length: channels }, (_, channel) => numbers[channel] ?? numbers[0]).join(", ")}]`;
  const color = channels === 1 ? "0" : isBgr ? "2 - channel" : "channel";
  const factor =
    shortSide === undefined
      ? `const [w, h] = [${width}, ${height}];`
      : `const [imageWidth, imageHeight] = [image.naturalWidth ?? image.width, image.naturalHeight ?? image.height];
  const factor = ${shortSide} / Math.min(imageWidth, imageHeight);
  const [w, h] = [imageWidth * factor, imageHeight * factor];`;
  const shape = isChannelsFirst ? [1, channels, height, width] : [1, height, width, channels];
  const area = height * width;
  const byte =
    channels === 1
      ? "Math.round(0.299 * data[4 * pixel] + 0.587 * data[4 * pixel + 1] + 0.114 * data[4 * pixel + 2])"
      : "data[4 * pixel + color]";
  const scaled = `${byte}${scale === 1 ? "" : scale === 1 / 255 ? " / 255" : ` * ${scale}`}`;
  const isPlain = mean.every((value) => value === 0) && std.every((value) => value === 1);
  return `
/** Prepares an image or a canvas (${escapeComment(preprocessing)}). */
async function inputOf(image) {
  await image.decode?.(); // an <img> may not be loaded yet
  const context = new OffscreenCanvas(${width}, ${height}).getContext("2d");
  context.imageSmoothingQuality = "high";
  ${factor}
  context.drawImage(image, (${width} - w) / 2, (${height} - h) / 2, w, h);
  const { data } = context.getImageData(0, 0, ${width}, ${height}); // red, green, blue, alpha
${isPlain ? "" : `  const [mean, std] = [${list(mean)}, ${list(std)}];\n`}\
  const values = Float32Array.from({ length: ${channels * area} }, (_, index) => {
    const channel = ${isChannelsFirst ? `Math.floor(index / ${area})` : `index % ${channels}`};
    const pixel = ${isChannelsFirst ? `index % ${area}` : `Math.floor(index / ${channels})`};
    const color = ${color};
    return ${isPlain ? scaled : `(${scaled} - mean[color]) / std[color]`};
  });
  return new ort.Tensor("float32", values, [${shape.join(", ")}]);
}
`;
}
