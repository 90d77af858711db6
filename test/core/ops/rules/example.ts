/** Examples of the rules that `simplify` applies, as models in text. */

export interface RuleExample {
  /** Id of the rule. */
  readonly rule: string;
  /** Models in which the rule applies, by what they show. */
  readonly fires: Readonly<Record<string, string>>;
  /** The nearest models in which the rule must not apply, by the reason. */
  readonly keeps: Readonly<Record<string, string>>;
  /** Sizes of named dimensions for the comparison. */
  readonly sizes?: Readonly<Record<string, number>>;
  /** Maximum difference of the outputs, relative to the largest value (1e-6). */
  readonly tolerance?: number;
}
