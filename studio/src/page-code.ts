/** Code for the user's page: loads the model with onnxruntime-web, and prepares its input as the samples were prepared. */
import type { ImageInput, ModelView } from "./backend/backend.ts";

/** Version of the runtime with which the page measures. */
const runtimeVersion = "1.30.0";

interface PageModel {
  /** Name of the model's file. */
  readonly file: string;
  readonly inputs: ModelView["inspection"]["inputs"];
  readonly output: string;
  /** How images become the input; undefined for other samples. */
  readonly image: ImageInput | undefined;
  /** Name of the preprocessing. */
  readonly preprocessing: string | undefined;
}

export function pageCode({ file, inputs, output, image, preprocessing }: PageModel): string {
  const isImage = image !== undefined && inputs.length === 1;
  const names = inputs.map(({ name, type, dims }) => `  // ${JSON.stringify(name)}: ${type} ${dims}`);
  const note = preprocessing === undefined || isImage ? [] : [`  // preprocessing: ${preprocessing}`];
  const value = isImage ? 'inputOf(document.querySelector("img"))' : "tensor";
  const feeds = inputs.map(({ name }) => `  ${JSON.stringify(name)}: ${value},`);
  return `import * as ort from "onnxruntime-web"; // npm install onnxruntime-web@${runtimeVersion}
${isImage ? inputCode(image, preprocessing) : ""}
const session = await ort.InferenceSession.create(${JSON.stringify(`/models/${file}`)});
const outputs = await session.run({
${[...names, ...note, ...feeds].join("\n")}
});
console.log(outputs[${JSON.stringify(output)}].data);
`;
}

/** Returns a function that resizes an image, crops its center, and computes x = (byte · scale − mean) / std. */
function inputCode(image: ImageInput, preprocessing = "unit"): string {
  const { channels, isChannelsFirst, height, width, shortSide, scale, mean, std, isBgr } = image;
  const values = (numbers: readonly number[]): string =>
    JSON.stringify(Array.from({ length: channels }, (_, channel) => numbers[channel] ?? numbers[0]));
  const color = channels === 1 ? "0" : isBgr ? "2 - channel" : "channel";
  const factor =
    shortSide === undefined
      ? `const [w, h] = [${width}, ${height}];`
      : `const factor = ${shortSide} / Math.min(image.width, image.height);
  const [w, h] = [image.width * factor, image.height * factor];`;
  const shape = isChannelsFirst ? [1, channels, height, width] : [1, height, width, channels];
  const area = height * width;
  return `
/** Prepares an image or a canvas (${preprocessing}). */
function inputOf(image) {
  const context = new OffscreenCanvas(${width}, ${height}).getContext("2d");
  context.imageSmoothingQuality = "high";
  ${factor}
  context.drawImage(image, (${width} - w) / 2, (${height} - h) / 2, w, h);
  const { data } = context.getImageData(0, 0, ${width}, ${height}); // red, green, blue, alpha
  const mean = ${values(mean)};
  const std = ${values(std)};
  const values = Float32Array.from({ length: ${channels * area} }, (_, index) => {
    const channel = ${isChannelsFirst ? `Math.floor(index / ${area})` : `index % ${channels}`};
    const pixel = ${isChannelsFirst ? `index % ${area}` : `Math.floor(index / ${channels})`};
    const color = ${color};
    return (data[4 * pixel + color] * ${scale} - mean[color]) / std[color];
  });
  return new ort.Tensor("float32", values, ${JSON.stringify(shape)});
}
`;
}
