/** Settings of all pruning experiments. */
export interface Settings {
  /** Whether to use few samples and steps, only to check that the experiment runs. */
  readonly smoke: boolean;
  /** Number of runtime threads. */
  readonly threads: string;
}
