/** Converts samples to views for reports: small images, texts, drawn series, or the first values of each input. */
import { encode } from "fast-png";
import { isIndexed, rowCount, sliceBatch } from "#batches";
import { type Batch, type Dense, toNumbers } from "#ir";
import { findImages } from "../../data/images/preprocess.ts";
import type { Dataset } from "../../data/index.ts";
import type { SampleView } from "./run-record.ts";

const maxPixels = 96;
const minPixels = 8;
const maxNumbers = 12;
const maxInputs = 4;
const maxCharacters = 280;

/** Returns undefined for inaccessible samples. @param ready as fed to the model. @param storedData before preprocessing. */
export async function sampleViewsOf(
  positions: readonly number[],
  ready: Dataset,
  storedData: Dataset | undefined,
): Promise<readonly (SampleView | undefined)[]> {
  const storedSamples = storedData !== undefined && storedData.count === ready.count ? storedData : undefined;
  const storedViews = storedSamples === undefined ? [] : await samplesAt(storedSamples, positions);
  const readyViews = await samplesAt(ready, positions);
  return positions.map((_, index) => sampleViewOf(readyViews[index], storedViews[index]));
}

export function sampleViewOf(ready: Batch | undefined, storedBatch?: Batch): SampleView | undefined {
  const image = storedBatch && storedImageView(storedBatch);
  if (image !== undefined) return image;
  const text = Object.values({ ...ready, ...storedBatch }).find((dense) => dense.type === "string");
  if (text?.type === "string") {
    const [words = ""] = text.data;
    return { kind: "text", text: words.length > maxCharacters ? `${words.slice(0, maxCharacters)}…` : words };
  }
  if (ready === undefined) return undefined;
  const series = Object.entries(ready).find(([, dense]) => isSeries(dense));
  if (series !== undefined) return seriesView(...series);
  const inputs = Object.entries(ready)
    .filter(([name, { type }]) => name !== "label" && type !== "string")
    .slice(0, maxInputs)
    .map(([name, dense]) => {
      const values = toNumbers(dense);
      return {
        name,
        numbers: values.slice(0, maxNumbers).map((value) => Number(value.toPrecision(4))),
        count: values.length,
      };
    });
  return inputs.length === 0 ? undefined : { kind: "numbers", inputs };
}

/** A series with fewer values is listed as numbers. */
const minSeries = 32;
const [seriesWidth, seriesHeight] = [96, 32];

const isSeries = ({ type, dims }: Dense): boolean =>
  type.startsWith("float") && dims.filter((dim) => dim !== 1).length === 1 && Math.max(...dims) >= minSeries;

function seriesView(name: string, dense: Dense): SampleView {
  const values = toNumbers(dense);
  const [low, high] = extremesOf(values, 0, values.length);
  const y = (value: number): string => (seriesHeight * (1 - (value - low) / (high - low || 1))).toFixed(1);
  const columns = Math.min(seriesWidth, values.length);
  const points = Array.from({ length: columns }, (_, column) => {
    const [start, end] = [column, column + 1].map((edge) => Math.floor((edge * values.length) / columns));
    const x = ((column * seriesWidth) / columns).toFixed(1);
    const heights = extremesOf(values, start ?? 0, end ?? 0).map(y);
    return [...new Set(heights)].map((height) => `${x} ${height}`).join("L");
  });
  const path = `M${points.join("L")}`;
  return { kind: "series", name, path, width: seriesWidth, height: seriesHeight, count: values.length };
}

/** NaN and infinity count as 0. */
function extremesOf(values: readonly number[], start: number, end: number): readonly [low: number, high: number] {
  let [low, high] = [Infinity, -Infinity];
  for (let index = start; index < end; index++) {
    const value = values[index] ?? 0;
    const finite = Number.isFinite(value) ? value : 0;
    [low, high] = [Math.min(low, finite), Math.max(high, finite)];
  }
  return [low, high];
}

async function samplesAt(dataset: Dataset, positions: readonly number[]): Promise<readonly (Batch | undefined)[]> {
  if (positions.length === 0) return [];
  if (isIndexed(dataset)) {
    const batch = await dataset.gather(Uint32Array.from(positions));
    return positions.map((_, index) => sliceBatch(batch, index, index + 1));
  }
  const samples = new Map<number, Batch>();
  const last = Math.max(...positions);
  let start = 0;
  for await (const batch of dataset.batches({ size: 16 })) {
    const size = rowCount(batch);
    for (const position of positions)
      if (position >= start && position < start + size)
        samples.set(position, sliceBatch(batch, position - start, position - start + 1));
    start += size;
    if (start > last || size === 0) break;
  }
  return positions.map((position) => samples.get(position));
}

function storedImageView(batch: Batch): SampleView | undefined {
  const images = findImages(batch);
  const dense = images === undefined ? undefined : batch[images.name];
  if (images === undefined || dense?.type !== "uint8" || images.height < minPixels) return undefined;
  return imageView(dense.data, images);
}

function imageView(
  values: Uint8Array,
  { layout, channels, height, width }: NonNullable<ReturnType<typeof findImages>>,
): SampleView {
  const step = Math.ceil(Math.max(height, width) / maxPixels);
  const [rows, columns] = [Math.floor(height / step), Math.floor(width / step)];
  const [pixel, channel] = layout === "NCHW" ? [1, height * width] : [channels, 1];
  const data = new Uint8Array(rows * columns * channels);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      for (let channelIndex = 0; channelIndex < channels; channelIndex++) {
        let sum = 0;
        for (let y = row * step; y < (row + 1) * step; y++)
          for (let x = column * step; x < (column + 1) * step; x++)
            sum += values[(y * width + x) * pixel + channelIndex * channel] ?? 0;
        data[(row * columns + column) * channels + channelIndex] = Math.round(sum / step ** 2);
      }
    }
  }
  const png = encode({ width: columns, height: rows, data, channels: channels === 1 ? 1 : 3, depth: 8 });
  let text = "";
  for (const value of png) text += String.fromCharCode(value);
  return { kind: "image", address: `data:image/png;base64,${btoa(text)}`, width: columns, height: rows };
}
