"""Judges the TheHive of the tests and what it was asked, by what its vendor publishes.

    judge.py exchanges DESCRIPTION      reads {"method","path","body","status","reply"} lines and prints what the vendor's OpenAPI does not allow
    judge.py client ADDRESS KEY         works with the peer through the vendor's Python client, as with a real server

Both print the faults, one a line, and nothing else.
"""
import json
import re
import sys


def exchanges(description):
    import yaml
    from jsonschema import Draft202012Validator

    with open(description, encoding="utf-8") as file:
        # Its alternatives are objects whose members all may be missing: a step of a query fits several. So one of them is enough.
        api = yaml.load(file.read().replace("oneOf:", "anyOf:"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))

    def operation(method, path):
        for template, item in api["paths"].items():
            if method.lower() in item and re.fullmatch(re.sub(r"\{[^}]*\}", "[^/]+", template), path):
                return item[method.lower()]
        return None

    def resolved(schema):
        while "$ref" in schema:
            schema = api["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        return schema

    def unknown(schema, value, at):
        """Members that the description does not name: it would let them pass, a sink that sends one is mistaken."""
        schema = resolved(schema)
        if isinstance(value, list) and "items" in schema:
            for n, one in enumerate(value):
                yield from unknown(schema["items"], one, f"{at}/{n}")
        if isinstance(value, dict) and "properties" in schema:
            for name, one in value.items():
                if name not in schema["properties"]:
                    yield f"{at}/{name} is not named"
                else:
                    yield from unknown(schema["properties"][name], one, f"{at}/{name}")

    def faults(content, value):
        if "application/json" not in content:
            return [] if value is None else ["a body where there is none"]
        schema = content["application/json"].get("schema", {})
        whole = {**schema, "components": api["components"]}
        found = [f"{'/'.join(map(str, e.path))}: {e.message[:300]}" for e in Draft202012Validator(whole).iter_errors(value)]
        return found + list(unknown(schema, value, ""))

    for line in sys.stdin:
        asked = json.loads(line)
        path = asked["path"].split("?")[0]
        known = operation(asked["method"], path)
        if known is None:
            yield f"{asked['method']} {path} is no operation"
            continue
        for fault in faults(known.get("requestBody", {}).get("content", {}), asked["body"]):
            yield f"{asked['method']} {path} asks: {fault}"
        answer = known["responses"].get(str(asked["status"]))
        if answer is None:
            yield f"{asked['method']} {path} answers {asked['status']}, which is not described"
            continue
        for fault in faults(answer.get("content", {}), asked["reply"]):
            yield f"{asked['method']} {path} answers {asked['status']}: {fault}"


def client(address, key):
    from thehive4py import TheHiveApi
    from thehive4py.errors import TheHiveError

    hive = TheHiveApi(url=address, apikey=key)

    def refused(what, words, call):
        try:
            call()
            yield f"{what} is taken"
        except TheHiveError as error:
            if words not in str(error):
                yield f"{what} is refused with other words: {error}"

    if hive.user.get_current()["login"] != "bot@soc":
        yield "the user is another"
    alert = {
        "type": "tripline", "source": "judge", "sourceRef": "one", "title": "t", "description": "d", "severity": 2, "date": 1795564820000,
        "tags": ["a"], "observables": [{"dataType": "ip", "data": "10.0.0.1", "tags": []}],
    }
    made = hive.alert.create(alert)
    yield from refused("the same name again", "already exist", lambda: hive.alert.create(alert))
    yield from refused("a custom field that is not there", "not found", lambda: hive.alert.create(
        {**alert, "sourceRef": "two", "customFields": [{"name": "wish", "value": 1}]}))
    yield from refused("a technique that is not there", "not found", lambda: hive.alert.create(
        {**alert, "sourceRef": "two", "procedures": [{"patternId": "X1", "occurDate": 1795564820000}]}))
    hive.alert.update(made["_id"], {"description": "other", "severity": 4, "addTags": ["b"]})
    seen = hive.alert.get(made["_id"])
    if (seen["description"], seen["severity"], seen["tags"]) != ("other", 4, ["a", "b"]):
        yield f"an update is not seen: {seen}"
    if hive.alert.get("tripline;judge;one")["_id"] != made["_id"]:
        yield "an alert cannot be had by its name"
    if [o["data"] for o in hive.alert.create_observable(made["_id"], {"dataType": "domain", "data": "a.example", "tags": []})] != ["a.example"]:
        yield "an observable is not added"
    yield from refused("an observable twice", "exists", lambda: hive.alert.create_observable(
        made["_id"], {"dataType": "domain", "data": "a.example", "tags": []}))
    case = hive.alert.promote_to_case(made["_id"], {"caseTemplate": "brute-force"})
    if hive.alert.get(made["_id"])["caseId"] != case["_id"]:
        yield "the alert does not know its case"
    yield from refused("a second case of an alert", "already", lambda: hive.alert.promote_to_case(made["_id"], {}))
    yield from refused("an alert that is not there", "not found", lambda: hive.alert.get("~404"))


if __name__ == "__main__":
    print("\n".join({"exchanges": exchanges, "client": client}[sys.argv[1]](*sys.argv[2:])), end="")
