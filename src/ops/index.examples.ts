/** The examples of all families. */
import { binaryExamples } from "./binary.examples.ts";
import { controlExamples } from "./control.examples.ts";
import { convExamples } from "./conv.examples.ts";
import type { Example } from "./define.examples.ts";
import { gatherExamples } from "./gather.examples.ts";
import { generateExamples } from "./generate.examples.ts";
import { layoutExamples } from "./layout.examples.ts";
import { logicExamples } from "./logic.examples.ts";
import { matmulExamples } from "./matmul.examples.ts";
import { microsoftConvExamples } from "./microsoft-conv.examples.ts";
import { microsoftGeluExamples } from "./microsoft-gelu.examples.ts";
import { microsoftLayoutExamples } from "./microsoft-layout.examples.ts";
import { microsoftMatmulExamples } from "./microsoft-matmul.examples.ts";
import { microsoftNormExamples } from "./microsoft-norm.examples.ts";
import { normExamples } from "./norm.examples.ts";
import { normalizationExamples } from "./normalization.examples.ts";
import { orderExamples } from "./order.examples.ts";
import { pickExamples } from "./pick.examples.ts";
import { poolExamples } from "./pool.examples.ts";
import { quantizeExamples } from "./quantize.examples.ts";
import { rearrangeExamples } from "./rearrange.examples.ts";
import { recurrentExamples } from "./recurrent.examples.ts";
import { reduceExamples } from "./reduce.examples.ts";
import { reshapeExamples } from "./reshape.examples.ts";
import { resizeExamples } from "./resize.examples.ts";
import { scanExamples } from "./scan.examples.ts";
import { selectExamples } from "./select.examples.ts";
import { sequenceExamples } from "./sequence.examples.ts";
import { shapeExamples } from "./shape.examples.ts";
import { sliceExamples } from "./slice.examples.ts";
import { softmaxExamples } from "./softmax.examples.ts";
import { trigonometricExamples } from "./trigonometric.examples.ts";
import { unaryExamples } from "./unary.examples.ts";
import { variadicExamples } from "./variadic.examples.ts";
import { attentionExamples } from "./attention.examples.ts";
import { rotaryExamples } from "./rotary.examples.ts";
import { dropoutExamples } from "./dropout.examples.ts";
import { lossExamples } from "./loss.examples.ts";
import { localNormExamples } from "./local-norm.examples.ts";

export const examples: readonly Example[] = [
  ...unaryExamples,
  ...binaryExamples,
  ...variadicExamples,
  ...logicExamples,
  ...trigonometricExamples,
  ...matmulExamples,
  ...convExamples,
  ...poolExamples,
  ...normExamples,
  ...normalizationExamples,
  ...recurrentExamples,
  ...softmaxExamples,
  ...generateExamples,
  ...pickExamples,
  ...orderExamples,
  ...scanExamples,
  ...rearrangeExamples,
  ...reduceExamples,
  ...reshapeExamples,
  ...layoutExamples,
  ...sliceExamples,
  ...gatherExamples,
  ...shapeExamples,
  ...selectExamples,
  ...quantizeExamples,
  ...controlExamples,
  ...sequenceExamples,
  ...microsoftMatmulExamples,
  ...microsoftGeluExamples,
  ...microsoftConvExamples,
  ...microsoftLayoutExamples,
  ...microsoftNormExamples,
  ...resizeExamples,
  ...attentionExamples,
  ...rotaryExamples,
  ...dropoutExamples,
  ...lossExamples,
  ...localNormExamples,
];
