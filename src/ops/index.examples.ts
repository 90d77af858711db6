/** The examples of all families. */
import { binaryExamples } from "./binary.examples.ts";
import { convExamples } from "./conv.examples.ts";
import type { Example } from "./define.examples.ts";
import { gatherExamples } from "./gather.examples.ts";
import { layoutExamples } from "./layout.examples.ts";
import { matmulExamples } from "./matmul.examples.ts";
import { microsoftMatmulExamples } from "./microsoft-matmul.examples.ts";
import { normExamples } from "./norm.examples.ts";
import { normalizationExamples } from "./normalization.examples.ts";
import { poolExamples } from "./pool.examples.ts";
import { quantizeExamples } from "./quantize.examples.ts";
import { reduceExamples } from "./reduce.examples.ts";
import { reshapeExamples } from "./reshape.examples.ts";
import { selectExamples } from "./select.examples.ts";
import { shapeExamples } from "./shape.examples.ts";
import { sliceExamples } from "./slice.examples.ts";
import { softmaxExamples } from "./softmax.examples.ts";
import { unaryExamples } from "./unary.examples.ts";

export const examples: readonly Example[] = [
  ...unaryExamples,
  ...binaryExamples,
  ...matmulExamples,
  ...convExamples,
  ...poolExamples,
  ...normExamples,
  ...normalizationExamples,
  ...softmaxExamples,
  ...reduceExamples,
  ...reshapeExamples,
  ...layoutExamples,
  ...sliceExamples,
  ...gatherExamples,
  ...shapeExamples,
  ...selectExamples,
  ...quantizeExamples,
  ...microsoftMatmulExamples,
];
