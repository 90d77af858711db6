/** Data for super-resolution: the image in the output size is the label, and its bicubic reduction is the input. */
import type { ValueType } from "../graph/graph.ts";
import type { Batch } from "../tensor/types.ts";
import { type ModelInput, plainInput } from "./bind.ts";
import { type Extent, geometryText } from "./geometry.ts";
import { fitStored, imageTarget } from "./image-batches.ts";
import { mapBatches } from "./indexed.ts";
import type { BatchChange } from "./pending-batch.ts";
import { findImages, preprocessBatch, storedImages } from "./preprocess.ts";
import type { Preprocessing } from "./presets.ts";
import type { Dataset } from "./types.ts";

export interface Enlargement {
  readonly input: ModelInput;
  readonly output: { readonly name: string; readonly type: ValueType | undefined };
  readonly small: Extent;
  readonly large: Extent;
}

interface Ports {
  readonly feeds: readonly ModelInput[];
  readonly outputs: readonly { readonly name: string; readonly type: ValueType | undefined }[];
}

/** Returns how a model enlarges images; undefined unless one image input and output have the same channels and an integer factor. */
export function enlargement({ feeds, outputs }: Ports): Enlargement | undefined {
  const [input, ...more] = feeds;
  const [output, ...others] = outputs;
  if (input === undefined || output === undefined || more.length > 0 || others.length > 0) return undefined;
  if (input.type?.dims?.length !== 4 || output.type?.dims?.length !== 4) return undefined;
  const [from, to] = [imageTarget(input.type, undefined), imageTarget(output.type, undefined)];
  if (from.size === undefined || to.size === undefined || from.channels !== to.channels) return undefined;
  const factor = to.size.height / from.size.height;
  const whole = Number.isInteger(factor) && factor > 1 && to.size.width === factor * from.size.width;
  return whole ? { input, output, small: from.size, large: to.size } : undefined;
}

export function enlarged(dataset: Dataset, { input, output, small, large }: Enlargement, how: Preprocessing): Dataset {
  const found = { input: plainInput(input), output: plainInput(output), small, large };
  const settings = { owner: dataset.name, found, how };
  return mapBatches(dataset, enlarging(settings), { kind: "enlarge", settings });
}

export interface EnlargeSettings {
  readonly owner: string;
  readonly found: Enlargement;
  readonly how: Preprocessing;
}

export function enlarging({ owner, found, how }: EnlargeSettings): BatchChange {
  const { input, output, small, large } = found;
  const { resize: _, crop: __, filter: ___, ...values } = how;
  const given = how.resize === undefined && how.crop === undefined;
  const geometry = given ? { resize: Math.min(large.height, large.width), crop: large } : how;
  return async (batch) => {
    const { label: ____, ...images } = batch;
    const high = await storedImages(images, output, { ...values, ...geometry });
    const label = preprocessBatch(high, { name: "label", type: output.type }, values, owner).label;
    const low = smaller(high, { resize: small, filter: "bicubic" });
    const fed = preprocessBatch(low, input, values, owner);
    return label === undefined ? fed : { ...fed, label };
  };
}

function smaller(batch: Batch, geometry: { readonly resize: Extent; readonly filter: "bicubic" }): Batch {
  const images = findImages(batch);
  const stored = images === undefined ? undefined : batch[images.name];
  if (images === undefined || stored?.type !== "uint8") return batch;
  return { ...batch, [images.name]: fitStored(stored, images, geometry) };
}

export function enlargementText({ small, large }: Enlargement): string {
  const [from, to] = [small, large].map((size) => geometryText({ resize: size }).replace("resize=", ""));
  return `enlarges ${from} to ${to}`;
}
