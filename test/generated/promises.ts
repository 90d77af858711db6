/** The promises of every pass and every technique, each checked on one network. */

import { analyses } from "./promises/analyses.ts";
import { arrays } from "./promises/arrays.ts";
import { cleanUps } from "./promises/clean-ups.ts";
import { equalNames } from "./promises/equal-names.ts";
import { factorizing } from "./promises/factorizing.ts";
import { integers } from "./promises/integers.ts";
import { parts } from "./promises/parts.ts";
import type { Promised } from "./promises/promised.ts";
import { cutting, pruning, recovering } from "./promises/pruning.ts";
import { quantizing, rounding } from "./promises/quantizing.ts";
import { training } from "./promises/training.ts";

export const promises: readonly Promised[] = [
  ...analyses,
  ...parts,
  ...cleanUps,
  ...pruning,
  ...cutting,
  ...quantizing,
  ...integers,
  ...rounding,
  ...recovering,
  ...factorizing,
  ...training,
  ...arrays,
  equalNames([...analyses, ...cleanUps, ...pruning, ...quantizing, ...integers, ...rounding]),
];
