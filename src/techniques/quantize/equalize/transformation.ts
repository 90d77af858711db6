/** Transformations lower the quantization error without changing the float function. Each is a file and a line in `index.ts`. */
import type { Model } from "../../../core/graph/model.ts";
import type { LayerSelection } from "../../../core/pass/options.ts";
import type { Change, Context } from "../../../core/pass/pass.ts";
import type { QuantizeSettings } from "../options.ts";
import type { AnswerNoise } from "../rounding-noise.ts";

export type EqualizeOptions = LayerSelection &
  Pick<QuantizeSettings, "scheme" | "bits" | "perChannel" | "activations" | "samples"> &
  Partial<QuantizeSettings>;

export interface Transformation {
  /** Returns whether the transformation can lower the error with these settings. */
  suits(options: EqualizeOptions): boolean;
  /** Moves factors in place if that lowers the error. @param noise measures the output noise. */
  move(model: Model, options: EqualizeOptions, context: Context, noise: AnswerNoise): Promise<readonly Change[]>;
}
