"""What the data doctor found, by its kind."""


def found(diagnosis, kind):
    return [finding for finding in diagnosis.findings if finding.kind == kind]


def lines(finding):
    return [origin.line for origin in finding.rows]
