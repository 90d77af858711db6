/** The passes that a recipe may name. */
import { distill } from "../distill/index.ts";
import { factorize, lora } from "../factorize/index.ts";
import { type AnyPass, lowerFused } from "../passes/index.ts";
import {
  customFromMask,
  globalUnstructured,
  identity,
  keepLayers,
  l1Unstructured,
  lnStructured,
  prune,
  randomStructured,
  randomUnstructured,
  remove,
} from "../prune/index.ts";
import { equalize, fakeQuantize, quantize } from "../quantize/index.ts";
import { recover } from "../recover/index.ts";
import { reinitialize, rewind, train } from "../train/index.ts";

const passes: readonly AnyPass[] = [
  train,
  prune,
  equalize,
  quantize,
  factorize,
  lora,
  distill,
  recover,
  reinitialize,
  rewind,
  fakeQuantize,
  l1Unstructured,
  lnStructured,
  globalUnstructured,
  randomUnstructured,
  randomStructured,
  customFromMask,
  identity,
  remove,
  keepLayers,
  lowerFused,
];

/** Pass by the word that stands for it in a recipe, with those of the caller's own. */
export const stepPasses = (own: readonly AnyPass[]): ReadonlyMap<string, AnyPass> =>
  new Map([...passes, ...own].map((pass) => [pass.id, pass]));

/** The same of Pith's. */
export const steps: ReadonlyMap<string, AnyPass> = stepPasses([]);

/** Those that a search combines. */
export const searchedPasses: readonly AnyPass[] = passes.filter(({ moves }) => moves !== undefined);
