import { ofAnswers } from "./answers.ts";
import { ofFeatures } from "./features.ts";
import type { Imitation } from "./read.ts";
import { ofTransformers } from "./transformers.ts";

export const imitations: readonly Imitation[] = [...ofAnswers, ...ofFeatures, ...ofTransformers];
