{{- define "kcontroller.args" -}}
- run
- --log-level={{ .Values.log.level }}
- --log-format={{ .Values.log.format }}
- --metrics-bind-address={{ ternary (printf ":%v" .Values.metrics.port) "0" .Values.metrics.enabled }}
{{- if include "kcontroller.securesMetrics" . }}
- --metrics-secure
{{- if .Values.metrics.certSecretName }}
- --metrics-cert-dir=/etc/kcontroller/metrics-certificate
{{- end }}
{{- if .Values.kubeconfig.secretName }}
- --metrics-kubeconfig=in-cluster
{{- end }}
{{- end }}
- --health-probe-bind-address=:{{ .Values.health.port }}
{{- with .Values.reconcile.maxConcurrent }}
- --max-concurrent-reconciles={{ . }}
{{- end }}
{{- range $kind, $workers := .Values.reconcile.concurrency }}
- --concurrency={{ $kind }}={{ int $workers }}
{{- end }}
{{- with .Values.rates.clusterQps }}
- --cluster-qps={{ . }}
{{- end }}
{{- with .Values.rates.clusterBurst }}
- --cluster-burst={{ int . }}
{{- end }}
{{- with .Values.rates.qps }}
- --qps={{ . }}
{{- end }}
{{- with .Values.rates.burst }}
- --burst={{ int . }}
{{- end }}
- --reconcile-timeout={{ .Values.reconcile.timeoutSeconds }}s
- --graceful-shutdown-timeout={{ .Values.shutdown.drainSeconds }}s
- --delete-budget={{ .Values.safety.deleteBudget }}
- --write-budget={{ .Values.safety.writeBudget }}
{{- range .Values.safety.paused }}
- {{ printf "--paused=%s" . | quote }}
{{- end }}
- {{ ternary "--detect-loops" "--no-detect-loops" .Values.safety.detectLoops }}
- --trace-keys={{ int .Values.trace.keys }}
{{- range .Values.scope.namespaces }}
- --namespace={{ . }}
{{- end }}
{{- if .Values.kubeconfig.secretName }}
- --kubeconfig=/etc/kcontroller/kubeconfig/{{ .Values.kubeconfig.key }}
{{- end }}
{{- with .Values.kubeconfig.context }}
- {{ printf "--context=%s" . | quote }}
{{- end }}
{{- with .Values.provider.name }}
- {{ printf "--provider=%s" . | quote }}
- --ready-when={{ $.Values.provider.readyWhen }}
{{- end }}
{{- with .Values.provider.canary.selector }}
- {{ printf "--canary=%s" . | quote }}
- --canary-minutes={{ $.Values.provider.canary.minutes }}
{{- end }}
{{- range $key, $value := .Values.provider.options }}
- {{ printf "--provider-option=%s=%v" $key $value | quote }}
{{- end }}
{{- if .Values.provider.kubeconfigs.secretName }}
- --provider-option=path=/etc/kcontroller/kubeconfigs
{{- end }}
{{- if .Values.provider.projectKubeconfig.secretName }}
- --provider-option=project-kubeconfig=/etc/kcontroller/project-kubeconfig/{{ .Values.provider.projectKubeconfig.key }}
{{- end }}
{{- if .Values.leaderElection.enabled }}
- --leader-elect
- --leader-election-id={{ include "kcontroller.leaseName" . }}
- --leader-election-namespace={{ include "kcontroller.leaseNamespace" . }}
- --leader-election-lease-duration={{ .Values.leaderElection.leaseDurationSeconds }}s
- --leader-election-renew-deadline={{ .Values.leaderElection.renewDeadlineSeconds }}s
- --leader-election-retry-period={{ .Values.leaderElection.retryPeriodSeconds }}s
- --leader-election-sync-patience={{ .Values.leaderElection.syncPatienceSeconds }}s
{{- if .Values.kubeconfig.secretName }}
- --leader-election-kubeconfig=in-cluster
{{- end }}
{{- else }}
- --no-leader-elect
{{- end }}
{{- range .Values.plugins.entryPoints }}
- {{ printf "--plugin=%s" . | quote }}
{{- end }}
{{- if .Values.plugins.allPlugins }}
- --all-plugins
{{- end }}
{{- range .Values.plugins.modules }}
- {{ printf "--module=%s" . | quote }}
{{- end }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- range .Values.plugins.sources }}
- {{ . | quote }}
{{- end }}
{{- range $name, $_ := .Values.plugins.trialFiles }}
{{- if not (hasPrefix "_" $name) }}
- /etc/kcontroller/trial/{{ $name }}
{{- end }}
{{- end }}
{{- end }}

{{- define "kcontroller.volumeMounts" -}}
- name: tmp
  mountPath: /tmp
{{- if .Values.kubeconfig.secretName }}
- name: kubeconfig
  mountPath: /etc/kcontroller/kubeconfig
  readOnly: true
{{- end }}
{{- if .Values.provider.projectKubeconfig.secretName }}
- name: project-kubeconfig
  mountPath: /etc/kcontroller/project-kubeconfig
  readOnly: true
{{- end }}
{{- if .Values.provider.kubeconfigs.secretName }}
- name: kubeconfigs
  mountPath: /etc/kcontroller/kubeconfigs
  readOnly: true
{{- end }}
{{- if and (include "kcontroller.securesMetrics" .) .Values.metrics.certSecretName }}
- name: metrics-certificate
  mountPath: /etc/kcontroller/metrics-certificate
  readOnly: true
{{- end }}
{{- if .Values.plugins.trialFiles }}
- name: trial
  mountPath: /etc/kcontroller/trial
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "kcontroller.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: {{ .Values.tmpSizeLimit }}
{{- with .Values.kubeconfig.secretName }}
- name: kubeconfig
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items:
      - key: {{ $.Values.kubeconfig.key }}
        path: {{ $.Values.kubeconfig.key }}
{{- end }}
{{- with .Values.provider.projectKubeconfig.secretName }}
- name: project-kubeconfig
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items:
      - key: {{ $.Values.provider.projectKubeconfig.key }}
        path: {{ $.Values.provider.projectKubeconfig.key }}
{{- end }}
{{- with .Values.provider.kubeconfigs.secretName }}
- name: kubeconfigs
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- if and (include "kcontroller.securesMetrics" .) .Values.metrics.certSecretName }}
- name: metrics-certificate
  secret:
    secretName: {{ .Values.metrics.certSecretName }}
    defaultMode: 0440
    items:
      - key: tls.crt
        path: tls.crt
      - key: tls.key
        path: tls.key
{{- end }}
{{- if .Values.plugins.trialFiles }}
- name: trial
  configMap:
    name: {{ include "kcontroller.suffixed" (list . "trial") }}
    defaultMode: 0440
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
