"""The live page: any `Service` in a browser. Everything that it shows and does is a call of
`nas.service.api.Service`; it knows nothing below that."""
