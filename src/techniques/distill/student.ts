/** Creates students by pruning the teacher, and compares their sizes. */
import { cost } from "../../core/analysis/cost.ts";
import { infer } from "../../core/analysis/infer.ts";
import { allLayers } from "../../core/analysis/layers.ts";
import { learnedCount, learnedTensors } from "../../core/analysis/learned.ts";
import { PithError } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import { bytes, count, percent } from "../../core/numbers.ts";
import type { Change, Context, Outcome } from "../../core/pass/pass.ts";
import { dimValue } from "../../core/tensor/dims.ts";
import { haveSameElements } from "../../data/batches/content-hash.ts";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";
import { keepLayers as keep, prune } from "../prune/index.ts";
import type { KeptLayers } from "../prune/keep-layers.ts";

interface StudentOptions {
  readonly shrink?: number | undefined;
  readonly keepLayers?: KeptLayers | undefined;
}

/** Removes layers, then channels of the remaining ones, in place. @throws PithError E_UNSUPPORTED if nothing can be removed. */
export async function makeStudent(
  model: Model,
  { shrink, keepLayers }: StudentOptions,
  context: Context,
): Promise<readonly Change[]> {
  const changes: Change[] = [];
  if (keepLayers !== undefined) {
    const outcome = await keep(model, { keep: keepLayers }, context);
    changes.push(...requireChanges(outcome, "`keepLayers`: no layer can be removed"));
  }
  if (shrink !== undefined) {
    const outcome = await prune(model, { structured: shrink }, context);
    changes.push(...requireChanges(outcome, "`shrink`: no channels can be removed"));
  }
  return changes;
}

function requireChanges({ changes, misses }: Outcome, message: string): readonly Change[] {
  if (changes.length > 0) return changes;
  const reasons = [...new Set(misses.map(({ at, reason }) => (at === undefined ? reason : `${at}: ${reason}`)))];
  const moreText = reasons.length > 3 ? `; and ${reasons.length - 3} more` : "";
  throw new PithError("E_UNSUPPORTED", `${message}: ${reasons.slice(0, 3).join("; ")}${moreText}.`);
}

/** @throws PithError E_OPTION if both models run the same operators and store the same numbers under the same names. */
export async function requireDifferentModels(teacher: Model, student: Model): Promise<void> {
  const operators = ({ graph }: Model): string => [...graph.nodes()].map(({ op }) => op).join();
  if (operators(student) !== operators(teacher)) return;
  const storedValues = ({ graph }: Model) => [...graph.values()].filter(({ tensor }) => tensor !== undefined);
  if (storedValues(student).length !== storedValues(teacher).length) return;
  for (const { name, tensor } of storedValues(student)) {
    const other = teacher.graph.value(name)?.tensor;
    if (tensor === other) continue;
    if (tensor === undefined || other === undefined || tensor.bytes !== other.bytes) return;
    if (!haveSameElements(await tensor.read(), await other.read())) return;
  }
  throw new PithError("E_OPTION", "The teacher and the student are the same model: there is nothing to learn.", {
    hint: "Set `shrink` or `keepLayers` to derive a smaller student from the teacher; training on labels needs no teacher.",
  });
}

export async function studentText(student: Model, teacher: Model): Promise<string> {
  const [studentSizes, teacherSizes] = [await sizesOf(student), await sizesOf(teacher)];
  const macs =
    studentSizes.macs === undefined || teacherSizes.macs === undefined
      ? ""
      : `, ${percent(studentSizes.macs / teacherSizes.macs)} of its MACs`;
  const share = percent(studentSizes.parameters / teacherSizes.parameters);
  return `student: ${studentSizes.layers} layers (teacher ${teacherSizes.layers}), ${count(studentSizes.parameters)} parameters of ${count(teacherSizes.parameters)} (${share}), ${bytes(studentSizes.bytes)} of weights (${bytes(teacherSizes.bytes)})${macs}`;
}

/** The size assumed for symbolic dimensions, to compare operations. */
const assumedSize = 32;

async function sizesOf(model: Model) {
  const copy = model.clone();
  storeWeights(copy);
  const inference = infer(copy);
  const { macs } = cost(copy, inference);
  const learned = await learnedTensors(copy, inference);
  const names =
    typeof macs === "object" ? [...macs.text.matchAll(/[A-Za-z_]\w*/g)].map(([name]) => [name, assumedSize]) : [];
  const batch = copy.graph.feeds[0]?.type?.dims?.[0];
  const batchMacs = macs === undefined ? undefined : dimValue(macs, Object.fromEntries(names));
  return {
    layers: allLayers(copy, inference).length,
    parameters: learnedCount(learned),
    bytes: [...learned.keys()].reduce((sum, { tensor }) => sum + (tensor?.bytes ?? 0), 0),
    // Per sample: the batch sizes may be fixed and differ.
    macs: batchMacs === undefined ? undefined : batchMacs / (typeof batch === "number" ? batch || 1 : assumedSize),
  };
}
