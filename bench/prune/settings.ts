/** What all experiments of pruning are given. */
export interface Settings {
  /** So few samples and steps that it shows only that the experiment runs. */
  readonly smoke: boolean;
  /** Of the runtime. */
  readonly threads: string;
}
