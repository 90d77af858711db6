import type { AnyPass } from "#pass";
import { train } from "../../learn/train/index.ts";
import { lowerFused } from "../../rewrite/edit/lower-fused.ts";
import { distill } from "../../techniques/distill/index.ts";
import { factorize } from "../../techniques/factorize/index.ts";
import { customFromMask, keepLayers, prune, remove } from "../../techniques/prune/index.ts";
import { equalize, fakeQuantize, quantize } from "../../techniques/quantize/index.ts";
import { recover } from "../../techniques/recover/index.ts";
import { searchedTechniques } from "./searched-techniques.ts";

const passes: readonly AnyPass[] = [
  train,
  prune,
  equalize,
  quantize,
  factorize,
  distill,
  recover,
  fakeQuantize,
  customFromMask,
  remove,
  keepLayers,
  lowerFused,
];

export const passesById = (customPasses: readonly AnyPass[]): ReadonlyMap<string, AnyPass> =>
  new Map([...passes, ...customPasses].map((pass) => [pass.id, pass]));

export const builtInPasses: ReadonlyMap<string, AnyPass> = passesById([]);

export const searchedPasses: readonly AnyPass[] = passes.filter(({ id }) => searchedTechniques.includes(id));
