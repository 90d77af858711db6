/** All entries: the one file that sees every family. */
import { binaryOperators } from "./binary.ts";
import { controlOperators } from "./control.ts";
import { convOperators } from "./conv.ts";
import { Registry } from "./define.ts";
import { gatherOperators } from "./gather.ts";
import { generateOperators } from "./generate.ts";
import { layoutOperators } from "./layout.ts";
import { logicOperators } from "./logic.ts";
import { matmulOperators } from "./matmul.ts";
import { microsoftConvOperators } from "./microsoft-conv.ts";
import { microsoftGeluOperators } from "./microsoft-gelu.ts";
import { microsoftGroupNormOperators } from "./microsoft-group-norm.ts";
import { microsoftLayoutOperators } from "./microsoft-layout.ts";
import { microsoftMatmulOperators } from "./microsoft-matmul.ts";
import { microsoftNormOperators } from "./microsoft-norm.ts";
import { normOperators } from "./norm.ts";
import { normalizationOperators } from "./normalization.ts";
import { orderOperators } from "./order.ts";
import { pickOperators } from "./pick.ts";
import { poolOperators } from "./pool.ts";
import { quantizeOperators } from "./quantize.ts";
import { rearrangeOperators } from "./rearrange.ts";
import { recurrentOperators } from "./recurrent.ts";
import { reduceOperators } from "./reduce.ts";
import { reshapeOperators } from "./reshape.ts";
import { resizeOperators } from "./resize.ts";
import { scanOperators } from "./scan.ts";
import { selectOperators } from "./select.ts";
import { sequenceOperators } from "./sequence.ts";
import { shapeOperators } from "./shape.ts";
import { sliceOperators } from "./slice.ts";
import { softmaxOperators } from "./softmax.ts";
import { trigonometricOperators } from "./trigonometric.ts";
import { unaryOperators } from "./unary.ts";
import { variadicOperators } from "./variadic.ts";
import { attentionOperators } from "./attention.ts";
import { rotaryOperators } from "./rotary.ts";
import { dropoutOperators } from "./dropout.ts";
import { lossOperators } from "./loss.ts";
import { localNormOperators } from "./local-norm.ts";

export const operators = new Registry([
  ...unaryOperators,
  ...binaryOperators,
  ...variadicOperators,
  ...logicOperators,
  ...trigonometricOperators,
  ...matmulOperators,
  ...convOperators,
  ...poolOperators,
  ...normOperators,
  ...normalizationOperators,
  ...recurrentOperators,
  ...softmaxOperators,
  ...generateOperators,
  ...pickOperators,
  ...orderOperators,
  ...scanOperators,
  ...rearrangeOperators,
  ...reduceOperators,
  ...reshapeOperators,
  ...layoutOperators,
  ...sliceOperators,
  ...gatherOperators,
  ...shapeOperators,
  ...selectOperators,
  ...quantizeOperators,
  ...controlOperators,
  ...sequenceOperators,
  ...microsoftMatmulOperators,
  ...microsoftGeluOperators,
  ...microsoftConvOperators,
  ...microsoftLayoutOperators,
  ...microsoftGroupNormOperators,
  ...microsoftNormOperators,
  ...resizeOperators,
  ...attentionOperators,
  ...rotaryOperators,
  ...dropoutOperators,
  ...lossOperators,
  ...localNormOperators,
]);

export type {
  Affine,
  AxisEnd,
  AxisLink,
  AxisRule,
  Body,
  Bound,
  Contribution,
  Cut,
  Facet,
  FacetName,
  GradientScope,
  Inferred,
  NodeChange,
  Op,
  OpDef,
  Operand,
  QuantizeRule,
  Site,
  WeightRole,
} from "./define.ts";
export { alwaysChanges, defineOp, noParameters, notYet, Registry } from "./define.ts";
