/**
 * fast-check with a seed: a run of the tests is the run before again. The slow suites (npm run test:all) draw a new one, which a failure
 * prints.
 */
import fc from "fast-check";

if (process.env.PITH_RANDOM_SEED === undefined) fc.configureGlobal({ seed: 1 });

export default fc;
