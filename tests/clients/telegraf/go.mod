// The Telegraf agent, for test_telegraf_and_grafana.py: with the one output and the one input that the tests use. Their
// packages are all that go.sum names, so it is made by `go build -mod=mod` with the words of support/programs.py;
// `go mod tidy` would fetch what every plugin needs.
module headwater/tests/telegraf

go 1.25.5

require github.com/influxdata/telegraf v1.37.2
