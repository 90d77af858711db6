/** The examples of all rules. */
import type { Model } from "../../../../src/core/graph/model.ts";
import { parseModel } from "../../../../src/core/graph/text.ts";
import { activations } from "./activations.ts";
import { arithmetic } from "./arithmetic.ts";
import { attentions } from "./attention.ts";
import type { RuleExample } from "./example.ts";
import { layoutPairs } from "./layout-pairs.ts";
import { math } from "./math.ts";
import { normalizations } from "./normalizations.ts";
import { operands } from "./operands.ts";
import { reductions } from "./reductions.ts";
import { rotaries } from "./rotary.ts";
import { selections } from "./selections.ts";

export const ruleExamples: readonly RuleExample[] = [
  ...activations,
  ...normalizations,
  ...attentions,
  ...rotaries,
  ...arithmetic,
  ...math,
  ...layoutPairs,
  ...reductions,
  ...selections,
  ...operands,
];

/** Returns the model of an example; the opset is 21 by default. */
export const parseExample = (text: string): Model =>
  parseModel(/^opset/.test(text.trim()) ? text : `opset 21\n${text}`);
