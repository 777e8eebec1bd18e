package host

import "github.com/prometheus/client_golang/prometheus"

// Tasks counts the calls of plugins' handlers that belong to no exchange. They are
// safe for concurrent use and a prometheus.Collector.
type Tasks struct{ *prometheus.CounterVec }

func newTasks() Tasks {
	return Tasks{prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "extproc", Subsystem: "plugin", Name: "tasks_total",
		Help: "Calls of the plugin's handlers beside that for requests, by handler and result: ok, failed, dropped.",
	}, []string{"plugin", "handler", "result"})}
}

// TaskResult is how such a call has ended.
type TaskResult string

// The results.
const (
	TaskDone    TaskResult = "ok"
	TaskFailed  TaskResult = "failed"
	TaskDropped TaskResult = "dropped" // it was not made, as too many waited
)

// Count counts a call.
func (t Tasks) Count(plugin, handler string, result TaskResult) {
	t.WithLabelValues(plugin, handler, string(result)).Inc()
}
