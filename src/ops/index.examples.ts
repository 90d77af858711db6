/** The examples of all families. */

import { attentionExamples } from "./attention.examples.ts";
import { batchNormExamples } from "./batch-norm.examples.ts";
import { binaryExamples } from "./binary.examples.ts";
import { controlExamples } from "./control.examples.ts";
import { convExamples } from "./conv.examples.ts";
import { pickExamples } from "./data-dependent.examples.ts";
import type { Example } from "./define.examples.ts";
import { deformConvExamples } from "./deform-conv.examples.ts";
import { dropoutExamples } from "./dropout.examples.ts";
import { einsumExamples } from "./einsum.examples.ts";
import { gatherExamples } from "./gather.examples.ts";
import { generateExamples } from "./generate.examples.ts";
import { layoutExamples } from "./layout.examples.ts";
import { linearAttentionExamples } from "./linear-attention.examples.ts";
import { logicExamples } from "./logic.examples.ts";
import { lossExamples } from "./loss.examples.ts";
import { matmulExamples } from "./matmul.examples.ts";
import { microsoftAttentionExamples } from "./microsoft/attention.examples.ts";
import { microsoftBlockExamples } from "./microsoft/blocks.examples.ts";
import { microsoftCacheExamples } from "./microsoft/cache.examples.ts";
import { microsoftConvExamples } from "./microsoft/conv.examples.ts";
import { microsoftGeluExamples } from "./microsoft/gelu.examples.ts";
import { microsoftIntegerExamples } from "./microsoft/integers.examples.ts";
import { microsoftLayoutExamples } from "./microsoft/layout.examples.ts";
import { microsoftMatmulExamples } from "./microsoft/matmul.examples.ts";
import { microsoftToolExamples } from "./microsoft/misc.examples.ts";
import { microsoftNormExamples } from "./microsoft/norm.examples.ts";
import { microsoftQuantizedExamples } from "./microsoft/quantized.examples.ts";
import { mlExamples } from "./ml.examples.ts";
import { noiseExamples } from "./noise.examples.ts";
import { normalizationExamples } from "./normalization.examples.ts";
import { orderExamples } from "./order.examples.ts";
import { poolExamples } from "./pool.examples.ts";
import { quantizeExamples } from "./quantize.examples.ts";
import { quantizedProductExamples } from "./quantized-products.examples.ts";
import { rearrangeExamples } from "./rearrange.examples.ts";
import { recurrentExamples } from "./recurrent.examples.ts";
import { reduceExamples } from "./reduce.examples.ts";
import { reshapeExamples } from "./reshape.examples.ts";
import { resizeExamples } from "./resize.examples.ts";
import { regionExamples } from "./roi.examples.ts";
import { rotaryExamples } from "./rotary.examples.ts";
import { scanExamples } from "./scan.examples.ts";
import { scatterExamples } from "./scatter.examples.ts";
import { selectExamples } from "./select.examples.ts";
import { sequenceExamples } from "./sequence.examples.ts";
import { shapeExamples } from "./shape.examples.ts";
import { signalExamples } from "./signal.examples.ts";
import { sliceExamples } from "./slice.examples.ts";
import { softmaxExamples } from "./softmax.examples.ts";
import { stringExamples } from "./strings.examples.ts";
import { unaryExamples } from "./unary.examples.ts";

export const examples: readonly Example[] = [
  ...unaryExamples,
  ...binaryExamples,
  ...logicExamples,
  ...matmulExamples,
  ...einsumExamples,
  ...convExamples,
  ...poolExamples,
  ...batchNormExamples,
  ...normalizationExamples,
  ...recurrentExamples,
  ...softmaxExamples,
  ...generateExamples,
  ...stringExamples,
  ...noiseExamples,
  ...pickExamples,
  ...orderExamples,
  ...scanExamples,
  ...rearrangeExamples,
  ...reduceExamples,
  ...reshapeExamples,
  ...layoutExamples,
  ...sliceExamples,
  ...gatherExamples,
  ...scatterExamples,
  ...shapeExamples,
  ...selectExamples,
  ...quantizeExamples,
  ...controlExamples,
  ...sequenceExamples,
  ...microsoftMatmulExamples,
  ...microsoftGeluExamples,
  ...microsoftConvExamples,
  ...microsoftLayoutExamples,
  ...microsoftToolExamples,
  ...microsoftBlockExamples,
  ...microsoftIntegerExamples,
  ...microsoftQuantizedExamples,
  ...quantizedProductExamples,
  ...microsoftCacheExamples,
  ...microsoftAttentionExamples,
  ...microsoftNormExamples,
  ...resizeExamples,
  ...attentionExamples,
  ...rotaryExamples,
  ...dropoutExamples,
  ...lossExamples,
  ...regionExamples,
  ...deformConvExamples,
  ...signalExamples,
  ...linearAttentionExamples,
  ...mlExamples,
];
