"""A small, honest trading engine on real prices, to see one sidecar go through its day.

Needs the extra `demo` (`pip install 'trimtab[demo]'`): the prices are inside those packages.

The design, in order of the questions that a reader would ask:

What trades?  Two long-only strategies (`strategies`): momentum, held 10 trading days, and mean
    reversion, held 5. Fixed rules and fixed coefficients, written down before any result was seen;
    nothing is fitted to the data and nothing was tuned afterwards.
When?  A signal at the close of day t uses closes up to t only; an approved one enters at the close
    of day t + 1 (`replay`). A test cuts the future off and compares.
Who may stop it?  Three guards (`guards`), and all three always answer: volatility (stateless),
    exposure (stateful) and confidence against the threshold (stateless).
What is compared?  The same signals are traded in two books, each a run of its own with its own
    positions and therefore its own exposure: `baseline` obeys volatility and exposure (its
    confidence guard has the limit 0), `filtered` obeys the threshold as well. So "what did the
    threshold do" is answered by replaying the portfolio, never by deleting trades from a list.
    The baseline trades are split at the threshold too (passed and rejected).
What of blocked signals?  The engine follows every signal through its own later prices, with the
    same costs. That is called provisional, and is never recorded as an outcome.
What of the end of the data?  Positions that are still open are recorded as CENSORED, without a
    return, and count nowhere.
"""
