/** The samples of a training: those that are trained on, as they are seen in each epoch, and those that are kept apart. */
import { infer } from "../analysis/infer.ts";
import { augmented } from "../data/augment.ts";
import { type Augmentation, parseAugmentation } from "../data/augment-options.ts";
import { isIndexed } from "../data/indexed.ts";
import { openDataset } from "../data/open.ts";
import { setAside } from "../data/select.ts";
import type { Dataset } from "../data/types.ts";
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { dimsText } from "../tensor/dims.ts";
import type { TrainOptions } from "./train-options.ts";

/** The samples that are trained on, changed at random; not those that are evaluated by. */
export function seenAnew(data: Dataset, augment: string | Augmentation, model: Model, seed: number): Dataset {
  const how = parseAugmentation(augment);
  if ((how.mixup ?? 0) === 0) return augmented(data, how, { seed });
  infer(model);
  const [output] = model.graph.outputs;
  const classes = output?.type?.dims?.at(-1);
  if (typeof classes === "number") return augmented(data, how, { seed, classes });
  throw new PithError(
    "E_OPTION",
    `augment, mixup: "${output?.name}" is ${dimsText(output?.type?.dims)}, which does not say how many classes there are.`,
  );
}

/** What to train on, and what to evaluate by: samples of its own, or a share of the others, drawn by the seed. */
export async function openData(
  { data, validation }: Pick<TrainOptions, "data" | "validation">,
  seed: number,
): Promise<{ readonly data: Dataset; readonly validation: Dataset | undefined }> {
  const open = (given: Dataset | string): Promise<Dataset> | Dataset =>
    typeof given === "string" ? openDataset(given, { part: "train" }) : given;
  const all = await open(data);
  if (typeof validation !== "number")
    return { data: all, validation: validation === undefined ? undefined : await open(validation) };
  if (!isIndexed(all)) {
    throw new PithError("E_DATA", `${all.name} is a stream: no share of it can be kept apart.`, {
      hint: "Give the samples to evaluate by as data of their own.",
    });
  }
  const kept = Math.round(validation * all.count);
  if (kept === 0 || kept === all.count)
    throw new PithError(
      "E_DATA",
      `${all.name} has ${all.count} samples: a share of ${validation} of them leaves none.`,
    );
  const { drawn, rest } = setAside(all, kept, seed);
  return { data: rest, validation: drawn };
}
